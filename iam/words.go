package iam

import (
	"strings"

	"kiln/lambda"
)

// Words is one sentence about a document in plain language: a message key ("policy.words.…") with its parameters.
type Words struct {
	Key    string
	Params lambda.Params
}

// Describe says in words what a document allows and denies: one sentence per statement, then one per condition of it.
func (d *Document) Describe() []Words {
	var out []Words
	for i := range d.Statements {
		out = append(out, d.Statements[i].Describe()...)
	}
	return out
}

// Describe says in words what a statement does. Keys: policy.words.{allow,deny}{Any,AllBut,Actions} with actions and resources
// ("*" stands for everything), policy.words.who with who, policy.words.when with operator, key and values.
func (s *Statement) Describe() []Words {
	key := "policy.words." + strings.ToLower(string(s.Effect))
	actions := s.Action
	switch {
	case contains(s.Action, "*"):
		key += "Any"
	case s.NotAction != nil:
		key, actions = key+"AllBut", s.NotAction
	default:
		key += "Actions"
	}
	resources := strings.Join(s.Resource, ", ")
	out := []Words{{key, lambda.P("actions", strings.Join(actions, ", "), "resources", resources)}}
	if s.NotResource != nil {
		out = append(out, Words{"policy.words.except", lambda.P("resources", strings.Join(s.NotResource, ", "))})
	}
	if p := s.Principal; p != nil {
		out = append(out, Words{"policy.words.who", lambda.P("who", p.text())})
	}
	if p := s.NotPrincipal; p != nil {
		out = append(out, Words{"policy.words.notWho", lambda.P("who", p.text())})
	}
	for _, c := range s.Conditions {
		out = append(out, Words{"policy.words.when", lambda.P("operator", c.Operator, "key", c.Key, "values", strings.Join(c.Values, ", "))})
	}
	return out
}

func (p *Principals) text() string {
	if p.All {
		return "*"
	}
	return strings.Join(append(append(append([]string{}, p.AWS...), p.Service...), p.Federated...), ", ")
}

// Explain says in words why a request was decided as it was. Keys: policy.why.{identity,resource,root,deny,limit,nothing,condition}.
func (d Decision) Explain() Words {
	p := lambda.P("who", d.request.Principal.Name, "action", d.request.Action, "resource", d.request.Resource, "policy", d.Policy)
	if d.Statement != nil {
		p["sid"] = d.Statement.Sid
	}
	if d.Reason == ByNothing && d.Near != nil {
		p["key"] = d.NearKey
		return Words{"policy.why.condition", p}
	}
	return Words{"policy.why." + string(d.Reason), p}
}
