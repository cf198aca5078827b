package iam

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Context holds a request's condition keys, in lower case, with their values. A key without values counts as missing.
type Context map[string][]string

// operator is a parsed condition operator.
type operator struct {
	test     test
	negated  bool // NotEquals and the like
	ifExists bool
	set      string // "any", "all" or ""
	null     bool
}

// test compares a pattern of the document with a value of the request.
type test struct {
	match func(pattern, value string) bool
	valid func(pattern string) bool // nil for any text
}

func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return f, err == nil && f == f
}

func numeric(f func(value, pattern float64) bool) test {
	return test{match: func(p, v string) bool {
		x, ok := number(v)
		y, fine := number(p)
		return ok && fine && f(x, y)
	}, valid: func(p string) bool { _, ok := number(p); return ok }}
}

func moment(s string) (time.Time, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0), true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func dated(f func(value, pattern time.Time) bool) test {
	return test{match: func(p, v string) bool {
		x, ok := moment(v)
		y, fine := moment(p)
		return ok && fine && f(x, y)
	}, valid: func(p string) bool { _, ok := moment(p); return ok }}
}

func inRange(p, v string) bool {
	addr, err := netip.ParseAddr(v)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	if prefix, err := netip.ParsePrefix(p); err == nil {
		return prefix.Contains(addr)
	}
	one, err := netip.ParseAddr(p)
	return err == nil && one.Unmap() == addr
}

func isRange(p string) bool {
	_, err := netip.ParsePrefix(p)
	_, err2 := netip.ParseAddr(p)
	return err == nil || err2 == nil
}

func unshield(p string) string {
	return strings.NewReplacer(literalStar, "*", literalMark, "?").Replace(p)
}

var tests = map[string]test{
	"StringEquals":             {match: func(p, v string) bool { return unshield(p) == v }},
	"StringEqualsIgnoreCase":   {match: func(p, v string) bool { return strings.EqualFold(unshield(p), v) }},
	"StringLike":               {match: globValue},
	"NumericEquals":            numeric(func(v, p float64) bool { return v == p }),
	"NumericLessThan":          numeric(func(v, p float64) bool { return v < p }),
	"NumericLessThanEquals":    numeric(func(v, p float64) bool { return v <= p }),
	"NumericGreaterThan":       numeric(func(v, p float64) bool { return v > p }),
	"NumericGreaterThanEquals": numeric(func(v, p float64) bool { return v >= p }),
	"DateEquals":               dated(time.Time.Equal),
	"DateLessThan":             dated(time.Time.Before),
	"DateLessThanEquals":       dated(func(v, p time.Time) bool { return !v.After(p) }),
	"DateGreaterThan":          dated(time.Time.After),
	"DateGreaterThanEquals":    dated(func(v, p time.Time) bool { return !v.Before(p) }),
	"Bool":                     {match: strings.EqualFold, valid: isBool},
	"BinaryEquals":             {match: func(p, v string) bool { return p == v }},
	"IpAddress":                {match: inRange, valid: isRange},
	"ArnEquals":                {match: globARN},
	"ArnLike":                  {match: globARN},
}

func isBool(p string) bool { return strings.EqualFold(p, "true") || strings.EqualFold(p, "false") }

// negations maps an operator to the one that it negates.
var negations = map[string]string{
	"StringNotEquals": "StringEquals", "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase", "StringNotLike": "StringLike",
	"NumericNotEquals": "NumericEquals", "DateNotEquals": "DateEquals", "NotIpAddress": "IpAddress",
	"ArnNotEquals": "ArnEquals", "ArnNotLike": "ArnLike",
}

func parseOperator(name string) (operator, bool) {
	var op operator
	for prefix, set := range map[string]string{"ForAnyValue:": "any", "ForAllValues:": "all"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			name, op.set = rest, set
		}
	}
	if name == "Null" {
		op.null, op.test.valid = true, isBool
		return op, op.set == ""
	}
	name, op.ifExists = strings.CutSuffix(name, "IfExists")
	if base, ok := negations[name]; ok {
		name, op.negated = base, true
	}
	t, ok := tests[name]
	op.test = t
	return op, ok
}

func (op operator) accepts(value string) bool {
	return op.test.valid == nil || op.test.valid(value)
}

// holds says whether a condition is met. A negated operator on a variable without a value is met only in a deny: the safe side of both.
func (c *Condition) holds(version string, ctx Context, effect Effect) bool {
	values := ctx[fold(c.Key)]
	if c.op.null {
		for _, want := range c.Values {
			if strings.EqualFold(want, strconv.FormatBool(len(values) == 0)) {
				return true
			}
		}
		return false
	}
	if len(values) == 0 {
		return c.op.ifExists || c.op.set == "all" || c.op.set == "" && c.op.negated
	}
	patterns := c.patterns(version, ctx)
	if c.op.negated && len(patterns) < len(c.Values) {
		return effect == Deny
	}
	met := 0
	for _, v := range values {
		if c.op.fits(patterns, v) {
			met++
		}
	}
	if c.op.set == "all" || c.op.set == "" && c.op.negated {
		return met == len(values)
	}
	return met > 0
}

// fits says whether one value matches one of the patterns, or with a negated operator none.
func (op operator) fits(patterns []string, v string) bool {
	for _, p := range patterns {
		if op.test.match(p, v) {
			return !op.negated
		}
	}
	return op.negated
}

func (c *Condition) patterns(version string, ctx Context) []string {
	if version != "2012-10-17" {
		return c.Values
	}
	var out []string
	for _, p := range c.Values {
		if e, ok := expand(p, ctx); ok {
			out = append(out, e)
		}
	}
	return out
}
