package iam

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"kiln/lambda"
)

// The bounds of a document.
const (
	MaxDocument = 20_480 // bytes, AWS's limit of a resource policy; managed policies are smaller
	maxDepth    = 12
)

// node is a JSON value with its place in the text.
type node struct {
	at      int64 // byte offset of the value
	text    string
	kind    byte // '{', '[', 's' string, 'n' number, 'b' bool, '0' null
	members []member
	items   []*node
}

type member struct {
	name  string
	at    int64
	value *node
}

// faults gathers what is wrong with a document, each with its line and column.
type faults struct {
	text  []byte
	found []lambda.Problem
}

func (f *faults) add(at int64, field, key string, pairs ...string) {
	line, column := position(f.text, at)
	p := lambda.P(append(pairs, "line", strconv.Itoa(line), "column", strconv.Itoa(column))...)
	f.found = append(f.found, lambda.Problem{Field: field, Key: key, Params: p})
}

func (f *faults) err() error {
	if len(f.found) == 0 {
		return nil
	}
	return &lambda.Error{Kind: lambda.Invalid, Key: "policy.invalid", Problems: f.found}
}

// position is the line and column (in characters, both from 1) of an offset.
func position(text []byte, at int64) (line, column int) {
	before := text[:min(max(at, 0), int64(len(text)))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// readTree reads one JSON value; nil with a fault when the text is not JSON, is nested too deeply or names a member twice.
func readTree(f *faults) *node {
	d := json.NewDecoder(bytes.NewReader(f.text))
	d.UseNumber()
	root := readNode(f, d, 0)
	if root == nil {
		return nil
	}
	if _, err := d.Token(); err != io.EOF {
		f.add(d.InputOffset(), "document", "policy.syntax")
		return nil
	}
	return root
}

func readNode(f *faults, d *json.Decoder, depth int) *node {
	at := f.nextToken(d)
	t, err := d.Token()
	if err != nil {
		f.add(errorOffset(err, d), "document", "policy.syntax")
		return nil
	}
	if depth > maxDepth {
		f.add(at, "document", "policy.depth")
		return nil
	}
	n := &node{at: at}
	switch v := t.(type) {
	case json.Delim:
		n.kind = byte(v)
		if v == '{' {
			return readObject(f, d, n, depth)
		}
		return readArray(f, d, n, depth)
	case string:
		n.kind, n.text = 's', v
	case json.Number:
		n.kind, n.text = 'n', v.String()
	case bool:
		n.kind, n.text = 'b', strconv.FormatBool(v)
	default:
		n.kind = '0'
	}
	return n
}

// nextToken is where the next token begins.
func (f *faults) nextToken(d *json.Decoder) int64 {
	at := d.InputOffset()
	for at < int64(len(f.text)) && strings.IndexByte(" \t\r\n:,", f.text[at]) >= 0 {
		at++
	}
	return at
}

func errorOffset(err error, d *json.Decoder) int64 {
	if s, ok := err.(*json.SyntaxError); ok {
		return max(s.Offset-1, 0)
	}
	return d.InputOffset()
}

func readObject(f *faults, d *json.Decoder, n *node, depth int) *node {
	seen := map[string]bool{}
	for d.More() {
		at := f.nextToken(d)
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			f.add(errorOffset(err, d), "document", "policy.syntax")
			return nil
		}
		if seen[name] {
			f.add(at, name, "policy.twice", "name", name)
			return nil
		}
		seen[name] = true
		v := readNode(f, d, depth+1)
		if v == nil {
			return nil
		}
		n.members = append(n.members, member{name, at, v})
	}
	return closed(f, d, n)
}

func readArray(f *faults, d *json.Decoder, n *node, depth int) *node {
	for d.More() {
		v := readNode(f, d, depth+1)
		if v == nil {
			return nil
		}
		n.items = append(n.items, v)
	}
	return closed(f, d, n)
}

func closed(f *faults, d *json.Decoder, n *node) *node {
	if _, err := d.Token(); err != nil {
		f.add(errorOffset(err, d), "document", "policy.syntax")
		return nil
	}
	return n
}

// strings gives a string or an array of strings as a list. Numbers and booleans count when loose.
func (n *node) strings(f *faults, field string, loose bool) []string {
	items := []*node{n}
	if n.kind == '[' {
		items = n.items
	}
	out := []string{}
	for _, i := range items {
		if i.kind == 's' || loose && (i.kind == 'n' || i.kind == 'b') {
			out = append(out, i.text)
		} else {
			f.add(i.at, field, "policy.string")
		}
	}
	if len(out) == 0 && len(items) == 0 {
		f.add(n.at, field, "policy.empty", "name", field)
	}
	return out
}

func (n *node) string(f *faults, field string) string {
	if n.kind != 's' {
		f.add(n.at, field, "policy.string")
	}
	return n.text
}

// fold is the form in which actions and condition keys are compared.
func fold(s string) string { return strings.ToLower(s) }
