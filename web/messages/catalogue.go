// Package messages is the one catalogue of every visible text, in English and in Korean side by side, and the formatting of
// numbers, sizes and times by language.
//
// A text may hold {name} for a parameter and {name:one|many} for a word that follows a number: "{n} {n:error|errors}".
// Keys: "error.<key>" for lambda.Error, "problem.<key>" for lambda.Problem, "js.…" for texts that the islands need, else "<page>.…".
// To add texts, add a line to the table of your page (one file each); a test fails on a missing language, a parameter that only one
// language has, a key that is used and not there, and a key that nothing uses.
package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Entry is one text.
type Entry struct{ Key, English, Korean string }

// tables are all texts. One table is one page's.
var tables = [][]Entry{
	shared,
	errorTexts,
	problemTexts,
	shell,
	home,
	functions,
	create,
	configure,
	configureParts,
	versions,
	settings,
	workspace,
	logs,
	packages,
	rooms,
	invocations,
	kept,
	monitor,
	policies,
}

// Locale is a language of the console.
type Locale string

// The languages.
const (
	English Locale = "en"
	Korean  Locale = "ko"
)

// Locales are all of them, the default first.
var Locales = []Locale{English, Korean}

// ParseLocale accepts exactly the languages there are.
func ParseLocale(s string) (Locale, bool) {
	for _, l := range Locales {
		if string(l) == s {
			return l, true
		}
	}
	return English, false
}

// FromHeader chooses a language by an Accept-Language header; English when it names none of ours.
func FromHeader(header string) Locale {
	best, weight := English, 0.0
	for i, part := range strings.Split(header, ",") {
		if i == 16 {
			break
		}
		tag, rest, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(rest), "q="); ok {
			q, _ = strconv.ParseFloat(v, 64)
		}
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if l, ok := ParseLocale(base); ok && q > weight {
			best, weight = l, q
		}
	}
	return best
}

var catalogue = sync.OnceValue(func() map[Locale]map[string]string {
	m := map[Locale]map[string]string{English: {}, Korean: {}}
	for _, table := range tables {
		for _, e := range table {
			m[English][e.Key], m[Korean][e.Key] = e.English, e.Korean
		}
	}
	return m
})

// Has says whether there is a text for key.
func Has(key string) bool {
	_, ok := catalogue()[English][key]
	return ok
}

// T is the text of key with name-value pairs filled in. Integers are grouped by the language's habit. A missing key shows itself.
func (l Locale) T(key string, pairs ...any) string {
	text, ok := catalogue()[l][key]
	if !ok {
		return key
	}
	if len(pairs) == 0 {
		return text
	}
	return l.fill(text, pairs)
}

var hole = regexp.MustCompile(`\{(\w+)(?::([^|}]*)\|([^}]*))?\}`)

func (l Locale) fill(text string, pairs []any) string {
	return hole.ReplaceAllStringFunc(text, func(h string) string {
		m := hole.FindStringSubmatch(h)
		v, ok := valueOf(m[1], pairs)
		switch {
		case !ok:
			return h
		case !strings.Contains(h, ":"):
			return l.show(v)
		case fmt.Sprint(v) == "1":
			return m[2]
		default:
			return m[3]
		}
	})
}

func valueOf(name string, pairs []any) (any, bool) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1], true
		}
	}
	return nil, false
}

func (l Locale) show(v any) string {
	switch n := v.(type) {
	case int:
		return l.Int(int64(n))
	case int64:
		return l.Int(n)
	default:
		return fmt.Sprint(v)
	}
}

// client is the JSON of one language's "js." entries, those of the workspace or all others, and its address.
type client struct {
	path string
	body []byte
}

type clientKey struct {
	locale    Locale
	workspace bool
}

var clients = sync.OnceValue(func() map[clientKey]client {
	m := map[clientKey]client{}
	for _, l := range Locales {
		m[clientKey{l, false}], m[clientKey{l, true}] = newClient(l, false), newClient(l, true)
	}
	return m
})

func newClient(l Locale, workspace bool) client {
	words := map[string]string{}
	for key, text := range catalogue()[l] {
		if strings.HasPrefix(key, "js.") && strings.HasPrefix(key, "js.ws.") == workspace {
			words[key] = text
		}
	}
	body, err := json.Marshal(words) // sorted by key, so the address is stable
	if err != nil {
		panic(err) // strings always marshal
	}
	sum := sha256.Sum256(body)
	return client{path: "/words/" + string(l) + "-" + hex.EncodeToString(sum[:5]) + ".json", body: body}
}

// ClientPath is the address of the islands' texts in one language; it changes with them.
func ClientPath(l Locale) string { return clients()[clientKey{l, false}].path }

// WorkspacePath is the address of the texts that only the workspace needs.
func WorkspacePath(l Locale) string { return clients()[clientKey{l, true}].path }

// ClientJSON is what is served at a ClientPath; nil for any other path.
func ClientJSON(path string) []byte {
	for _, c := range clients() {
		if c.path == path {
			return c.body
		}
	}
	return nil
}
