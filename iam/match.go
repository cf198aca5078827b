package iam

import (
	"strings"
)

// glob says whether s matches a pattern of '*' (any run) and '?' (any character). It takes time linear in both for one '*' at a time.
func glob(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// Wildcard characters that came out of a variable must not match anything but themselves: they are moved out of the way, in both sides.
const (
	literalStar = "\x01"
	literalMark = "\x02"
)

var shield = strings.NewReplacer("*", literalStar, "?", literalMark)

// expand puts the request's values into a pattern's variables. ok is false when one has no value, or more than one.
func expand(pattern string, ctx Context) (out string, ok bool) {
	if !strings.Contains(pattern, "${") {
		return pattern, true
	}
	var b strings.Builder
	for {
		head, rest, found := strings.Cut(pattern, "${")
		b.WriteString(head)
		if !found {
			return b.String(), true
		}
		name, tail, found := strings.Cut(rest, "}")
		if !found {
			return "", false
		}
		v, ok := variable(name, ctx)
		if !ok {
			return "", false
		}
		b.WriteString(shield.Replace(v))
		pattern = tail
	}
}

func variable(name string, ctx Context) (string, bool) {
	switch name {
	case "*", "?", "$":
		return name, true
	}
	name, fallback, has := strings.Cut(name, ",")
	if v := ctx[fold(strings.TrimSpace(name))]; len(v) == 1 {
		return v[0], true
	}
	fallback = strings.TrimSpace(fallback)
	if has && len(fallback) >= 2 && fallback[0] == '\'' && fallback[len(fallback)-1] == '\'' {
		return fallback[1 : len(fallback)-1], true
	}
	return "", false
}

// globValue matches a value of the request against a pattern whose variables are expanded.
func globValue(pattern, s string) bool {
	if strings.ContainsAny(pattern, literalStar+literalMark) {
		// The value's own wildcard characters are shielded as well; a '?' or '*' of the pattern still matches them.
		return glob(pattern, shield.Replace(s))
	}
	return glob(pattern, s)
}

// globARN matches part by part, so that a wildcard never reaches over a colon before the resource's own part.
// A pattern with fewer parts matches only when it is "*" or ends in one.
func globARN(pattern, arn string) bool {
	if pattern == "*" {
		return true
	}
	for range 5 {
		p, pRest, pMore := strings.Cut(pattern, ":")
		a, aRest, aMore := strings.Cut(arn, ":")
		if !pMore {
			return strings.HasSuffix(p, "*") && globValue(p, arn)
		}
		if !aMore || !globValue(p, a) {
			return false
		}
		pattern, arn = pRest, aRest
	}
	return globValue(pattern, arn)
}

// matchesAction compares without regard to case.
func matchesAction(patterns []string, action string) bool {
	action = fold(action)
	for _, p := range patterns {
		if p == "*" || glob(fold(p), action) {
			return true
		}
	}
	return false
}

// matchesResource says whether one of the patterns matches; unclear when one has a variable without a value.
func matchesResource(patterns []string, version, resource string, ctx Context) (yes, unclear bool) {
	for _, p := range patterns {
		if version == "2012-10-17" {
			var ok bool
			if p, ok = expand(p, ctx); !ok {
				unclear = true
				continue
			}
		}
		if globARN(p, resource) {
			return true, false
		}
	}
	return false, unclear
}

// grant is how a statement's principal element fits the caller.
type grant int

const (
	other     grant = iota
	delegated       // the whole account is named: the caller's own policies must allow it too
	direct
)

func (p *Principals) fits(who *Principal) grant {
	if p.All {
		return direct
	}
	if who.Kind == KindService {
		return grantIf(contains(p.Service, who.ARN))
	}
	if who.Kind == KindAnonymous || who.Kind == "" {
		return other
	}
	best := other
	for _, a := range p.AWS {
		switch {
		case a == who.ARN || sameRole(a, who.ARN):
			return direct
		case accountOf(a) != "" && accountOf(a) == accountIn(who.ARN):
			if who.Kind == KindRoot {
				return direct
			}
			best = delegated
		}
	}
	return best
}

func grantIf(ok bool) grant {
	if ok {
		return direct
	}
	return other
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// accountOf is the account that a principal element names as a whole; "" otherwise.
func accountOf(element string) string {
	if len(element) == 12 {
		return element
	}
	if strings.HasSuffix(element, ":root") {
		return accountIn(element)
	}
	return ""
}

// accountIn is the account part of an ARN.
func accountIn(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// roleOf is the role ARN, without a path, of an assumed-role session; "" for anything else.
func roleOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[2] != "sts" {
		return ""
	}
	rest, ok := strings.CutPrefix(parts[5], "assumed-role/")
	name, _, session := strings.Cut(rest, "/")
	if !ok || !session {
		return ""
	}
	return "arn:" + parts[1] + ":iam::" + parts[4] + ":role/" + name
}

// sameRole says whether a role ARN, which may have a path, is the role of a session, which has none. Names are unique whatever the path.
func sameRole(element, session string) bool {
	role := roleOf(session)
	if role == "" {
		return false
	}
	head, name, ok := strings.Cut(element, ":role/")
	if !ok {
		return false
	}
	return head+":role/"+name[strings.LastIndexByte(name, '/')+1:] == role
}
