package console

import (
	"context"
	"encoding/json"
	"slices"
	"sort"
	"strings"

	"kiln/lambda"
	"kiln/web"
)

// statement is one statement of a policy document as far as words need it.
type statement struct {
	Effect      string
	Action      oneOrMore
	NotAction   oneOrMore
	Resource    oneOrMore
	NotResource oneOrMore
	Condition   json.RawMessage
}

// oneOrMore reads a text or a list of texts, as policies have them.
type oneOrMore []string

// UnmarshalJSON takes both forms.
func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(o))
}

// statements reads a document's Statement, one or a list.
type statements []statement

// UnmarshalJSON takes both forms.
func (s *statements) UnmarshalJSON(b []byte) error {
	var one statement
	if len(b) > 0 && b[0] == '{' {
		err := json.Unmarshal(b, &one)
		*s = statements{one}
		return err
	}
	return json.Unmarshal(b, (*[]statement)(s))
}

// roleWords says in words what a role may do; a role that is not there says nothing.
func (c *Console) roleWords(ctx context.Context, arn string) ([]web.RoleStatement, error) {
	role, err := c.Store.Role(ctx, arn)
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(role.Policies))
	for name := range role.Policies {
		names = append(names, name)
	}
	sort.Strings(names)
	var out []web.RoleStatement
	for _, name := range names {
		out = append(out, wordsOf(role.Policies[name])...)
	}
	return out, nil
}

func wordsOf(document string) (out []web.RoleStatement) {
	var doc struct{ Statement statements }
	if json.Unmarshal([]byte(document), &doc) != nil {
		return nil
	}
	for _, s := range doc.Statement {
		w := web.RoleStatement{Allow: s.Effect == "Allow", What: s.Action, On: s.Resource, Condition: len(s.Condition) > 0}
		for _, a := range s.NotAction {
			w.What = append(w.What, "≠ "+a)
		}
		for _, r := range s.NotResource {
			w.On = append(w.On, "≠ "+r)
		}
		w.Key = wellKnown(s)
		out = append(out, w)
	}
	return out
}

var logActions = []string{"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}

// wellKnown is the message key of rights that have a short name.
func wellKnown(s statement) string {
	switch {
	case len(s.NotAction)+len(s.NotResource)+len(s.Condition) > 0:
		return ""
	case slices.Equal(s.Action, []string{"*"}) && slices.Equal(s.Resource, []string{"*"}):
		return "words.all"
	case len(s.Action) > 0 && !slices.ContainsFunc(s.Action, func(a string) bool { return !slices.Contains(logActions, a) }) &&
		!slices.ContainsFunc(s.Resource, func(r string) bool { return r != "*" && !strings.HasPrefix(r, "arn:aws:logs:") }):
		return "words.logs"
	}
	return ""
}
