package iam

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"kiln/lambda"
)

// Use says what a document is for: which elements it must and must not have.
type Use int

// The uses.
const (
	Identity Use = iota // attached to a principal: no Principal, Resource needed
	Resource            // attached to a resource: Principal needed
	Trust               // of a role: Principal needed, no Resource
)

// Effect is "Allow" or "Deny".
type Effect string

// The effects.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Document is a policy document. Make one with Parse; it is not changed afterwards and may be shared.
type Document struct {
	Version    string
	ID         string
	Statements []Statement
	dynamic    bool // conditions or variables make it depend on the request's context
}

// Statement is one rule. Exactly one of each pair Action/NotAction, Resource/NotResource, Principal/NotPrincipal is set, where its use has one.
type Statement struct {
	Sid          string
	Effect       Effect
	Principal    *Principals
	NotPrincipal *Principals
	Action       []string
	NotAction    []string
	Resource     []string
	NotResource  []string
	Conditions   []Condition
}

// Principals are whom a statement is about, by type.
type Principals struct {
	All       bool // "*"
	AWS       []string
	Service   []string
	Federated []string
}

// Condition is one operator on one key.
type Condition struct {
	Operator string // as written, for example "ForAnyValue:StringLikeIfExists"
	Key      string
	Values   []string
	op       operator
}

// Parse reads and checks a document. The error is Invalid "policy.invalid" with one problem per fault; each has "line" and "column".
func Parse(text []byte, use Use) (*Document, error) {
	f := &faults{text: text}
	if len(text) > MaxDocument {
		return nil, &lambda.Error{Kind: lambda.Invalid, Key: "policy.invalid", Problems: []lambda.Problem{{Field: "document", Key: "policy.size"}}}
	}
	root := readTree(f)
	if root == nil {
		return nil, f.err()
	}
	d := parseDocument(f, root, use)
	if err := f.err(); err != nil {
		return nil, err
	}
	d.dynamic = slices.ContainsFunc(d.Statements, dependsOnContext)
	return d, nil
}

func dependsOnContext(s Statement) bool {
	variable := func(r string) bool { return strings.Contains(r, "${") }
	return len(s.Conditions) > 0 || slices.ContainsFunc(s.Resource, variable) || slices.ContainsFunc(s.NotResource, variable)
}

// MustParse is Parse for documents in the source; it panics when they are wrong.
func MustParse(text string, use Use) *Document {
	d, err := Parse([]byte(text), use)
	if err != nil {
		panic(err)
	}
	return d
}

func parseDocument(f *faults, root *node, use Use) *Document {
	d := &Document{Version: "2008-10-17"}
	if root.kind != '{' {
		f.add(root.at, "document", "policy.object")
		return d
	}
	var statements *node
	for _, m := range root.members {
		switch m.name {
		case "Version":
			d.Version = m.value.string(f, "Version")
			if d.Version != "2012-10-17" && d.Version != "2008-10-17" {
				f.add(m.value.at, "Version", "policy.version", "value", d.Version)
			}
		case "Id":
			d.ID = m.value.string(f, "Id")
		case "Statement":
			statements = m.value
		default:
			f.add(m.at, m.name, "policy.unknown", "name", m.name)
		}
	}
	if statements == nil {
		f.add(root.at, "Statement", "policy.missing", "name", "Statement")
		return d
	}
	d.Statements = parseStatements(f, statements, use)
	return d
}

func parseStatements(f *faults, n *node, use Use) []Statement {
	items := []*node{n}
	if n.kind == '[' {
		items = n.items
	}
	if len(items) == 0 {
		f.add(n.at, "Statement", "policy.empty", "name", "Statement")
	}
	sids := map[string]bool{}
	var out []Statement
	for _, i := range items {
		if i.kind != '{' {
			f.add(i.at, "Statement", "policy.object")
			continue
		}
		s := parseStatement(f, i, use)
		if s.Sid != "" && sids[s.Sid] {
			f.add(i.at, "Sid", "policy.sidTwice", "value", s.Sid)
		}
		sids[s.Sid] = true
		out = append(out, s)
	}
	return out
}

func parseStatement(f *faults, n *node, use Use) Statement {
	var s Statement
	for _, m := range n.members {
		if !s.set(f, m) {
			f.add(m.at, m.name, "policy.unknown", "name", m.name)
		}
	}
	if s.Effect == "" {
		f.add(n.at, "Effect", "policy.missing", "name", "Effect")
	}
	if s.Effect == Allow && s.NotPrincipal != nil {
		f.add(n.at, "NotPrincipal", "policy.allowNotPrincipal") // it would let everybody in but those named, strangers too
	}
	pair(f, n, "Action", s.Action != nil, s.NotAction != nil, true)
	pair(f, n, "Resource", s.Resource != nil, s.NotResource != nil, use != Trust)
	pair(f, n, "Principal", s.Principal != nil, s.NotPrincipal != nil, use != Identity)
	return s
}

var sidPattern = regexp.MustCompile(`^[0-9A-Za-z_-]*$`)

func (s *Statement) set(f *faults, m member) bool {
	switch m.name {
	case "Sid":
		if s.Sid = m.value.string(f, "Sid"); !sidPattern.MatchString(s.Sid) {
			f.add(m.value.at, "Sid", "policy.sid", "value", s.Sid)
		}
	case "Effect":
		s.Effect = Effect(m.value.string(f, "Effect"))
		if s.Effect != Allow && s.Effect != Deny {
			f.add(m.value.at, "Effect", "policy.effect", "value", string(s.Effect))
		}
	case "Action":
		s.Action = parseActions(f, m)
	case "NotAction":
		s.NotAction = parseActions(f, m)
	case "Resource":
		s.Resource = parseResources(f, m)
	case "NotResource":
		s.NotResource = parseResources(f, m)
	case "Principal":
		s.Principal = parsePrincipals(f, m)
	case "NotPrincipal":
		s.NotPrincipal = parsePrincipals(f, m)
	case "Condition":
		s.Conditions = parseConditions(f, m.value)
	default:
		return false
	}
	return true
}

// pair checks that one of an element and its negation is there, or neither when the use has none.
func pair(f *faults, n *node, name string, is, not, needed bool) {
	switch {
	case is && not:
		f.add(n.at, name, "policy.both", "name", name)
	case !needed && (is || not):
		f.add(n.at, name, "policy.notHere", "name", name)
	case needed && !is && !not:
		f.add(n.at, name, "policy.missing", "name", name)
	}
}

var actionPattern = regexp.MustCompile(`^(\*|[a-zA-Z0-9-]+:[a-zA-Z0-9*?-]+)$`)

func parseActions(f *faults, m member) []string {
	list := m.value.strings(f, m.name, false)
	for _, a := range list {
		if !actionPattern.MatchString(a) {
			f.add(m.value.at, m.name, "policy.action", "value", a)
		}
	}
	return list
}

func parseResources(f *faults, m member) []string {
	list := m.value.strings(f, m.name, false)
	for _, r := range list {
		if r != "*" && !strings.HasPrefix(r, "arn:") && !strings.HasPrefix(r, "${") {
			f.add(m.value.at, m.name, "policy.resource", "value", r)
		}
		checkVariables(f, m.value.at, m.name, r)
	}
	return list
}

func checkVariables(f *faults, at int64, field, s string) {
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			return
		}
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			f.add(at, field, "policy.variable", "value", s[i:])
			return
		}
		s = s[i+end+1:]
	}
}

func parsePrincipals(f *faults, m member) *Principals {
	p := &Principals{}
	if m.value.kind == 's' {
		if p.All = m.value.text == "*"; !p.All {
			f.add(m.value.at, m.name, "policy.principal", "value", m.value.text)
		}
		return p
	}
	if m.value.kind != '{' || len(m.value.members) == 0 {
		f.add(m.value.at, m.name, "policy.principal", "value", "")
		return p
	}
	for _, t := range m.value.members {
		list := t.value.strings(f, m.name, false)
		switch t.name {
		case "AWS":
			p.AWS = checkAWS(f, t, list)
		case "Service":
			p.Service = list
		case "Federated":
			p.Federated = list
		default:
			f.add(t.at, m.name, "policy.principalType", "value", t.name)
		}
	}
	if slices.Contains(p.AWS, "*") {
		p.All = true
	}
	return p
}

var principalPattern = regexp.MustCompile(`^(\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::\d{12}:(root|(user|role|assumed-role|federated-user)/[\w+=,.@/-]+))$`)

func checkAWS(f *faults, t member, list []string) []string {
	for _, a := range list {
		if !principalPattern.MatchString(a) {
			f.add(t.value.at, "Principal", "policy.principal", "value", a)
		}
	}
	return list
}

func parseConditions(f *faults, n *node) []Condition {
	if n.kind != '{' {
		f.add(n.at, "Condition", "policy.object")
		return nil
	}
	var out []Condition
	for _, o := range n.members {
		op, ok := parseOperator(o.name)
		if !ok {
			f.add(o.at, "Condition", "policy.operator", "value", o.name)
			continue
		}
		if o.value.kind != '{' {
			f.add(o.value.at, "Condition", "policy.object")
			continue
		}
		for _, k := range o.value.members {
			c := Condition{Operator: o.name, Key: k.name, Values: k.value.strings(f, "Condition", true), op: op}
			for _, v := range c.Values {
				checkVariables(f, k.value.at, "Condition", v)
				if !strings.Contains(v, "${") && !op.accepts(v) {
					f.add(k.value.at, "Condition", "policy.value", "operator", o.name, "value", v)
				}
			}
			out = append(out, c)
		}
	}
	return out
}

// MarshalJSON writes the document as AWS does: single strings bare, lists as arrays, members in AWS's order.
func (d *Document) MarshalJSON() ([]byte, error) {
	type wire struct {
		Version   string
		ID        string `json:"Id,omitempty"`
		Statement []Statement
	}
	return json.Marshal(wire{d.Version, d.ID, d.Statements})
}

// MarshalJSON writes one statement as AWS does.
func (s Statement) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Sid          string `json:",omitempty"`
		Effect       Effect
		Principal    *Principals               `json:",omitempty"`
		NotPrincipal *Principals               `json:",omitempty"`
		Action       any                       `json:",omitempty"`
		NotAction    any                       `json:",omitempty"`
		Resource     any                       `json:",omitempty"`
		NotResource  any                       `json:",omitempty"`
		Condition    map[string]map[string]any `json:",omitempty"`
	}{s.Sid, s.Effect, s.Principal, s.NotPrincipal, bare(s.Action), bare(s.NotAction), bare(s.Resource), bare(s.NotResource), conditionsOf(s.Conditions)})
}

// MarshalJSON writes "*" or the lists by type.
func (p *Principals) MarshalJSON() ([]byte, error) {
	if p.All && len(p.AWS) == 0 && len(p.Service) == 0 && len(p.Federated) == 0 {
		return []byte(`"*"`), nil
	}
	return json.Marshal(struct {
		AWS       any `json:",omitempty"`
		Service   any `json:",omitempty"`
		Federated any `json:",omitempty"`
	}{bare(p.AWS), bare(p.Service), bare(p.Federated)})
}

// bare is a single string as such, nothing as nil, and else the list.
func bare(list []string) any {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return list
}

func conditionsOf(all []Condition) map[string]map[string]any {
	if len(all) == 0 {
		return nil
	}
	out := map[string]map[string]any{}
	for _, c := range all {
		if out[c.Operator] == nil {
			out[c.Operator] = map[string]any{}
		}
		out[c.Operator][c.Key] = bare(c.Values)
	}
	return out
}
