package web

import (
	"net/url"

	"kiln/web/messages"
)

// Login is the sign-in page.
type Login struct {
	Token string // a link that can be used: one button; "" shows how to get one
	Next  string // where to go afterwards, a path of this site
	Note  string // what went wrong before, "" for nothing
}

// Oops is an error page or notice.
type Oops struct {
	Status    int
	Text      string // what happened and what to do next
	RequestID string // shown for errors of Kiln itself
	Denied    *Denied
}

// Denied explains a refusal.
type Denied struct{ Who, Action, Resource, Role string }

func (o Oops) titleKey() string {
	switch o.Status {
	case 403, 404, 409, 429, 503:
		return map[int]string{403: "oops.403", 404: "oops.404", 409: "oops.409", 429: "oops.429", 503: "oops.503"}[o.Status]
	case 400, 401, 405, 412, 413, 422:
		return "oops.400"
	}
	return "oops.500"
}

func (d Denied) whyKey() string {
	if d.Role == "viewer" || d.Role == "developer" {
		return "denied.role." + d.Role
	}
	return "denied.role.other"
}

func loginLocale(l Login, loc messages.Locale) string {
	q := url.Values{"lang": {string(loc)}}
	if l.Token != "" {
		q.Set("token", l.Token)
	}
	if l.Next != "" {
		q.Set("next", l.Next)
	}
	return "/login?" + q.Encode()
}
