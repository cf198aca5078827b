package messages

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEveryTextIsInBothLanguagesWithTheSameParameters(t *testing.T) {
	seen := map[string]bool{}
	for _, table := range tables {
		for _, e := range table {
			if seen[e.Key] {
				t.Errorf("%s is there twice", e.Key)
			}
			seen[e.Key] = true
			if strings.TrimSpace(e.English) == "" || strings.TrimSpace(e.Korean) == "" {
				t.Errorf("%s lacks a language", e.Key)
			}
			if en, ko := params(e.English), params(e.Korean); !slices.Equal(en, ko) {
				t.Errorf("%s: parameters differ: %v in English, %v in Korean", e.Key, en, ko)
			}
		}
	}
}

// params are the names that a text fills; {n:one|many} needs n as well.
func params(text string) []string {
	set := map[string]bool{}
	for _, m := range hole.FindAllStringSubmatch(text, -1) {
		set[m[1]] = true
	}
	return slices.Sorted(maps.Keys(set))
}

var (
	callPattern   = regexp.MustCompile(`\bT\((?:ctx, )?"([a-z0-9]+\.[A-Za-z0-9._-]+)"`)
	jsPattern     = regexp.MustCompile(`\bt\("(js\.[A-Za-z0-9._-]+)"`)
	errorPattern  = regexp.MustCompile(`(?:lambda\.)?\bE\((?:lambda\.)?(?:Internal|Invalid|Unauthenticated|Denied|NotFound|Conflict|Precondition|Throttled|TooLarge|Unavailable), "([A-Za-z0-9._-]+)"`)
	problemCall   = regexp.MustCompile(`\bp\.add\([^,]+, "([A-Za-z0-9._-]+)"`)
	literal       = regexp.MustCompile(`"([a-z0-9]+\.[A-Za-z0-9._-]*)`)
	wireOnlyRooms = []string{"server/lambdaapi", "server/sigv4", "server/gateway", "executor/executortest", "access.go"} // their errors are never shown by the console
)

// sources calls f with every source file of the house, except this room's and generated ones.
func sources(t *testing.T, f func(path, text string)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if name := d.Name(); name == "node_modules" || name == "dist" || rel == filepath.Join("web", "messages") || strings.HasPrefix(name, ".") && rel != "." {
				return filepath.SkipDir
			}
			return nil
		}
		source := slices.Contains([]string{".go", ".templ", ".ts"}, filepath.Ext(path))
		if !source || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_templ.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(rel), string(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryKeyThatIsUsedIsThere(t *testing.T) {
	sources(t, func(path, text string) {
		want := func(pattern *regexp.Regexp, prefix string) {
			for _, m := range pattern.FindAllStringSubmatch(text, -1) {
				if key := prefix + m[1]; !strings.HasSuffix(key, ".") && !Has(key) {
					t.Errorf("%s uses %s, which is not in the catalogue", path, key)
				}
			}
		}
		if strings.HasPrefix(path, "web/") || strings.HasPrefix(path, "server/console") {
			want(callPattern, "")
		}
		if strings.HasPrefix(path, "static/") {
			want(jsPattern, "")
		}
		if !slices.ContainsFunc(wireOnlyRooms, func(r string) bool { return strings.HasPrefix(path, r) }) {
			want(errorPattern, "error.")
		}
		if strings.HasPrefix(path, "lambda/") {
			want(problemCall, "problem.")
		}
	})
}

func TestEveryKeyIsUsed(t *testing.T) {
	used, prefixes := map[string]bool{}, map[string]bool{"error.": true, "problem.": true}
	sources(t, func(path, text string) {
		for _, m := range literal.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
			if strings.HasSuffix(m[1], ".") {
				prefixes[m[1]] = true
			}
		}
	})
	prefixes["unit."] = true // Span, in this room
	for key := range catalogue()[English] {
		if used[key] || slices.ContainsFunc(slices.Collect(maps.Keys(prefixes)), func(p string) bool { return strings.HasPrefix(key, p) }) {
			continue
		}
		t.Errorf("nothing uses %s", key)
	}
}

func TestTextsAreFilled(t *testing.T) {
	for _, c := range []struct {
		locale Locale
		key    string
		pairs  []any
		want   string
	}{
		{English, "shell.runtimes", []any{"n", 1}, "1 runtime ready"},
		{English, "shell.runtimes", []any{"n", 1200}, "1,200 runtimes ready"},
		{Korean, "shell.runtimes", []any{"n", 3}, "런타임 3개 준비됨"},
		{English, "problem.range", []any{"min", "1", "max", "900"}, "Choose 1 to 900."},
		{English, "no.such.key", nil, "no.such.key"},
		{English, "problem.range", []any{"min", "{max}", "max", "9"}, "Choose {max} to 9."},
	} {
		if got := c.locale.T(c.key, c.pairs...); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.locale, c.key, got, c.want)
		}
	}
}

func TestLanguageIsChosenByHeader(t *testing.T) {
	for header, want := range map[string]Locale{
		"": English, "ko": Korean, "ko-KR,ko;q=0.9,en;q=0.8": Korean, "en-US,en;q=0.9,ko;q=0.5": English,
		"fr, ko;q=0.4": Korean, "de;q=x": English, "ko;q=0": English,
	} {
		if got := FromHeader(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestFormats(t *testing.T) {
	now := time.Date(2026, 11, 20, 14, 31, 7, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{English.Int(218604), "218,604"}, {English.Int(-1234), "−1,234"}, {English.Int(0), "0"}, {Korean.Int(999), "999"},
		{English.Percent(0), "0"}, {English.Percent(0.0008), "0.08"}, {English.Percent(0.1538), "15.4"}, {English.Percent(1), "100"},
		{English.Bytes(512), "512 B"}, {English.Bytes(3174), "3.1 KB"}, {English.Bytes(200 << 20), "200 MB"},
		{English.Millis(400 * time.Microsecond), "0.4"}, {English.Millis(1240 * time.Millisecond), "1,240"},
		{English.Dollars(0), "$0"}, {English.Dollars(0.0001), "<$0.001"}, {English.Dollars(0.071), "$0.071"}, {English.Dollars(12.5), "$12.50"},
		{English.When(now.Add(-time.Hour), now), "13:31"}, {English.When(now.AddDate(0, 0, -18), now), "2 Nov"}, {Korean.When(now.AddDate(0, 0, -18), now), "11월 2일"},
		{English.Day(now.AddDate(-1, 0, 0), now), "20 Nov 2025"}, {Korean.Day(now.AddDate(-1, 0, 0), now), "2025년 11월 20일"},
		{English.Span(90 * time.Second), "90 s"}, {Korean.Span(5 * time.Hour), "5시간"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestClientTextsAreServedUnderTheirOwnPath(t *testing.T) {
	for _, l := range Locales {
		if b := ClientJSON(ClientPath(l)); !strings.Contains(string(b), `"js.copied"`) || strings.Contains(string(b), "error.") {
			t.Errorf("%s: %s", l, b)
		}
	}
	if ClientJSON("/words/en-0.json") != nil {
		t.Error("an unknown path answered")
	}
}
