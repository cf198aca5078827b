package console

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"kiln/lambda"
	"kiln/web"
)

func TestDotEnvIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
		bad  int
	}{
		"empty":            {"", "[]", 0},
		"comment and line": {"# c\n\nA=1", "[{A 1}]", 0},
		"export":           {"export TOKEN=x", "[{TOKEN x}]", 0},
		"single quotes":    {`A='x # y\n'`, `[{A x # y\n}]`, 0},
		"double quotes":    {`A="x\ty\"z"`, "[{A x\ty\"z}]", 0},
		"trailing comment": {"A=x # why", "[{A x}]", 0},
		"equals in value":  {"URL=a=b=c", "[{URL a=b=c}]", 0},
		"windows lines":    {"A=1\r\nB=2\r\n", "[{A 1} {B 2}]", 0},
		"no equals":        {"A=1\nnonsense", "[]", 2},
		"blank in name":    {"A B=1", "[]", 1},
		"empty value":      {"A=", "[{A }]", 0},
	} {
		got, bad := ParseDotEnv(c.text)
		if fmt.Sprint(got) != c.want || bad != c.bad {
			t.Errorf("%s: %v %d, want %s %d", name, got, bad, c.want, c.bad)
		}
	}
}

func FuzzDotEnv(f *testing.F) {
	f.Add("A=1\nexport B='2'\nC=\"3\"")
	f.Fuzz(func(t *testing.T, text string) {
		pairs, bad := ParseDotEnv(text)
		if bad > 0 && pairs != nil || len(pairs) > maxPairs+1 {
			t.Errorf("%d pairs, bad line %d", len(pairs), bad)
		}
		for _, p := range pairs {
			if p.Name == "" || strings.ContainsAny(p.Name, "=\n ") {
				t.Errorf("name %q", p.Name)
			}
		}
	})
}

// applied is what a diff makes of the old text; it must be the new one.
func applied(lines []web.DiffLine, op byte) (out []string) {
	for _, l := range lines {
		if l.Op == ' ' || l.Op == op {
			out = append(out, l.Text)
		}
	}
	return out
}

func TestDiffsLeadFromTheOldTextToTheNew(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		a, b := randomLines(rnd), randomLines(rnd)
		d := diffLines(a, b)
		if fmt.Sprint(applied(d, '-')) != fmt.Sprint(a) || fmt.Sprint(applied(d, '+')) != fmt.Sprint(b) {
			t.Fatalf("%v → %v: %v", a, b, d)
		}
	}
	d := diffLines([]string{"a", "b", "c"}, []string{"a", "x", "c"})
	if fmt.Sprint(len(d), d[1].Op, d[2].Op) != fmt.Sprint(4, byte('-'), byte('+')) {
		t.Errorf("%v", d)
	}
}

func randomLines(r *rand.Rand) (out []string) {
	for range r.IntN(30) {
		out = append(out, string(rune('a'+r.IntN(4))))
	}
	return out
}

func TestFarApartTextsAreReplacedInBoundedTime(t *testing.T) {
	var a, b []string
	for i := range 6000 {
		a, b = append(a, fmt.Sprint("a", i)), append(b, fmt.Sprint("b", i))
	}
	d := diffLines(a, b)
	if len(d) != 12_000 {
		t.Errorf("%d lines", len(d))
	}
}

func TestDiffsLeaveOutWhatIsFarAway(t *testing.T) {
	var a []string
	for i := range 100 {
		a = append(a, fmt.Sprint(i))
	}
	b := append([]string(nil), a...)
	b[10], b[90] = "x", "y"
	lines := withContext(diffLines(a, b))
	gaps := 0
	for _, l := range lines {
		if l.Op == '@' {
			gaps++
		}
	}
	if gaps != 1 || len(lines) != 2*(2+2*diffContext)+1 {
		t.Errorf("%d lines, %d gaps", len(lines), gaps)
	}
}

func TestFilesAreComparedByPath(t *testing.T) {
	d := diffFiles(
		[]lambda.File{{Path: "gone", Data: []byte("1\n"), Size: 2}, {Path: "same", Data: []byte("x"), Size: 1}, {Path: "bin", Binary: true, Size: 3}},
		[]lambda.File{{Path: "new", Data: []byte("1\n2\n"), Size: 4}, {Path: "same", Data: []byte("x"), Size: 1}, {Path: "bin", Binary: true, Size: 4}})
	var got []string
	for _, f := range d {
		got = append(got, fmt.Sprint(f.Path, " ", f.Kind, " ", f.Plus, f.Minus, " ", f.NotShown))
	}
	if strings.Join(got, "; ") != "bin changed 0 0 true; gone removed 0 1 false; new added 2 0 false" {
		t.Errorf("%v", got)
	}
}

func TestAFormFollowsWhatOthersSavedWhereItWasNotTouched(t *testing.T) {
	base := web.ConfigForm{Memory: "128", Timeout: "3", Env: []web.Pair{{Name: "A", Value: "1"}, {Name: "B", Value: "1"}, {Name: "C", Value: "1"}}}
	mine := base
	mine.Memory, mine.Env = "256", []web.Pair{{Name: "A", Value: "mine"}, {Name: "B", Value: "1"}, {Name: "D", Value: "new"}}
	theirs := base
	theirs.Memory, theirs.Timeout, theirs.Env = "512", "30", []web.Pair{{Name: "A", Value: "theirs"}, {Name: "B", Value: "2"}, {Name: "C", Value: "1"}, {Name: "E", Value: "5"}}
	got := rebase(base, mine, theirs)
	if got.Memory != "256" || got.Timeout != "30" || fmt.Sprint(got.Env) != "[{A mine} {B 2} {D new} {E 5}]" {
		t.Errorf("%+v", got)
	}
}

func TestRolesAreSaidInWords(t *testing.T) {
	for name, c := range map[string]struct{ doc, want string }{
		"logs":      {`{"Statement":[{"Effect":"Allow","Action":["logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}]}`, "words.logs true [logs:CreateLogStream logs:PutLogEvents]"},
		"all":       {`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, "words.all true [*]"},
		"other":     {`{"Statement":{"Effect":"Deny","Action":"s3:*","Resource":["a","b"]}}`, " false [s3:*]"},
		"condition": {`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"x":"true"}}}}`, " true [*]"},
		"not":       {`{"Statement":{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}}`, " true [≠ iam:*]"},
	} {
		w := wordsOf(c.doc)
		if len(w) != 1 || fmt.Sprint(w[0].Key, w[0].Allow, w[0].What) != c.want && fmt.Sprint(w[0].Key, " ", w[0].Allow, " ", w[0].What) != c.want {
			t.Errorf("%s: %+v", name, w)
		}
	}
	if wordsOf("no JSON") != nil {
		t.Error("nonsense has words")
	}
}

func TestOnlyPathsOfThisSiteAreFollowed(t *testing.T) {
	for in, want := range map[string]string{"/functions?q=1": "/functions?q=1", "": "/", "//evil": "/", "/\\evil": "/", "https://evil": "/", "javascript:x": "/", "/a\nb": "/"} {
		if got := LocalPath(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
