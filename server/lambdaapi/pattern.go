package lambdaapi

import (
	"encoding/json"
	"strconv"
	"strings"
)

// parsePattern reads a filter pattern: terms that must all be there, ?terms of which one must, -terms that must not,
// "quoted text", and { $.path op value } for JSON lines. "" matches everything.
func parsePattern(p string) (func(line string) bool, error) {
	p = strings.TrimSpace(p)
	if strings.HasPrefix(p, "{") {
		return parseJSONPattern(p)
	}
	terms, ok := splitTerms(p)
	if !ok {
		return nil, logFailure("InvalidParameterException", "Invalid filter pattern")
	}
	return func(line string) bool { return matchTerms(terms, line) }, nil
}

type term struct {
	kind byte // '+', '?' or '-'
	text string
}

func splitTerms(p string) (terms []term, ok bool) {
	for p = strings.TrimSpace(p); p != ""; p = strings.TrimSpace(p) {
		t := term{kind: '+'}
		if p[0] == '?' || p[0] == '-' {
			t.kind, p = p[0], p[1:]
		}
		if strings.HasPrefix(p, `"`) {
			end := strings.IndexByte(p[1:], '"')
			if end < 0 {
				return nil, false
			}
			t.text, p = p[1:1+end], p[end+2:]
		} else {
			t.text, p, _ = strings.Cut(p, " ")
		}
		if t.text != "" {
			terms = append(terms, t)
		}
	}
	return terms, true
}

func matchTerms(terms []term, line string) bool {
	choices, chosen := 0, 0
	for _, t := range terms {
		has := strings.Contains(line, t.text)
		switch {
		case t.kind == '?':
			choices++
			if has {
				chosen++
			}
		case has == (t.kind == '-'):
			return false
		}
	}
	return choices == 0 || chosen > 0
}

// parseJSONPattern reads { $.a.b = "x" } with =, !=, <, <=, >, >=, joined by && or ||.
func parseJSONPattern(p string) (func(string) bool, error) {
	bad := logFailure("InvalidParameterException", "Invalid filter pattern")
	if !strings.HasSuffix(p, "}") {
		return nil, bad
	}
	var any [][]comparison
	for or := range strings.SplitSeq(p[1:len(p)-1], "||") {
		var all []comparison
		for and := range strings.SplitSeq(or, "&&") {
			c, ok := parseComparison(strings.TrimSpace(and))
			if !ok {
				return nil, bad
			}
			all = append(all, c)
		}
		any = append(any, all)
	}
	return func(line string) bool { return matchJSON(any, line) }, nil
}

type comparison struct {
	path  []string
	op    string
	value string
}

func parseComparison(s string) (comparison, bool) {
	s = strings.Trim(s, "() ")
	for _, op := range []string{"!=", "<=", ">=", "=", "<", ">"} {
		path, value, ok := strings.Cut(s, op)
		if !ok {
			continue
		}
		rest, ok := strings.CutPrefix(strings.TrimSpace(path), "$.")
		value = strings.TrimSpace(value)
		return comparison{strings.Split(rest, "."), op, strings.Trim(value, `"`)}, ok && value != ""
	}
	return comparison{}, false
}

func matchJSON(any [][]comparison, line string) bool {
	var v map[string]json.RawMessage
	if json.Unmarshal([]byte(line), &v) != nil {
		return false
	}
	for _, all := range any {
		met := true
		for _, c := range all {
			met = met && c.holds(v)
		}
		if met {
			return true
		}
	}
	return false
}

func (c *comparison) holds(v map[string]json.RawMessage) bool {
	for i, name := range c.path {
		raw, ok := v[name]
		if !ok {
			return false
		}
		if i == len(c.path)-1 {
			return c.compare(raw)
		}
		v = nil
		if json.Unmarshal(raw, &v) != nil {
			return false
		}
	}
	return false
}

func (c *comparison) compare(raw json.RawMessage) bool {
	text := string(raw)
	var s string
	if json.Unmarshal(raw, &s) == nil {
		text = s
	}
	switch c.op {
	case "=":
		return wildcard(c.value, text)
	case "!=":
		return !wildcard(c.value, text)
	}
	a, err1 := strconv.ParseFloat(text, 64)
	b, err2 := strconv.ParseFloat(c.value, 64)
	if err1 != nil || err2 != nil {
		return false
	}
	switch c.op {
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	}
	return a >= b
}

// wildcard compares with at most one * at each end, as the service has it.
func wildcard(pattern, s string) bool {
	front, back := strings.HasPrefix(pattern, "*"), strings.HasSuffix(pattern, "*")
	p := strings.Trim(pattern, "*")
	switch {
	case front && back:
		return strings.Contains(s, p)
	case front:
		return strings.HasSuffix(s, p)
	case back:
		return strings.HasPrefix(s, p)
	}
	return s == p
}
