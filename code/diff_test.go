package code

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"kiln/lambda"
)

// apply walks the edits and gives back the new text, or fails.
func apply(t *testing.T, a, b []string) (string, int) {
	t.Helper()
	var out strings.Builder
	x, y, changed := 0, 0, 0
	for _, o := range edits(a, b) {
		for range o.n {
			switch o.kind {
			case ' ':
				if a[x] != b[y] {
					t.Fatalf("kept a line that differs: %q %q", a[x], b[y])
				}
				out.WriteString(a[x])
				x, y = x+1, y+1
			case '-':
				x, changed = x+1, changed+1
			case '+':
				out.WriteString(b[y])
				y, changed = y+1, changed+1
			}
		}
	}
	if x != len(a) || y != len(b) {
		t.Fatalf("ends at %d of %d, %d of %d", x, len(a), y, len(b))
	}
	return out.String(), changed
}

// shortest is the number of edits by dynamic programming.
func shortest(a, b []string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			best := min(row[j], row[j-1]) + 1
			if a[i-1] == b[j-1] {
				best = diagonal
			}
			diagonal, row[j] = row[j], best
		}
	}
	return row[len(b)]
}

func TestEditsAreShortestAndComplete(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func() []string {
		out := make([]string, r.IntN(30))
		for i := range out {
			out[i] = fmt.Sprintf("%d\n", r.IntN(6))
		}
		return out
	}
	for range 3000 {
		a, b := text(), text()
		got, changed := apply(t, a, b)
		if got != strings.Join(b, "") || changed != shortest(a, b) {
			t.Fatalf("%q → %q: %q with %d edits of %d", a, b, got, changed, shortest(a, b))
		}
	}
}

func TestTextsThatDifferEverywhereEndSoon(t *testing.T) {
	var a, b strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&a, "a%d\n", i)
		fmt.Fprintf(&b, "b%d\n", i)
	}
	h := DiffText("same\n"+a.String(), "same\n"+b.String())
	if len(h) != 1 || h[0].OldLines != 200_001 || h[0].NewLines != 200_001 {
		t.Errorf("%d hunks", len(h))
	}
}

func show(hunks []Hunk) string {
	var b strings.Builder
	for _, h := range hunks {
		fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n", h.OldStart, h.OldLines, h.NewStart, h.NewLines)
		for _, l := range h.Lines {
			fmt.Fprintf(&b, "%c%s\n", l.Op, l.Text)
		}
	}
	return b.String()
}

func TestHunksShowThreeLinesAround(t *testing.T) {
	old := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\n"
	for _, c := range []struct{ what, old, new, want string }{
		{"nothing", old, old, ""},
		{"one line", old, strings.Replace(old, "\n10\n", "\nten\n", 1), "@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n"},
		{"two near changes are one hunk", old, strings.NewReplacer("\n10\n", "\nten\n", "\n14\n", "\n").Replace(old), "@@ -7,11 +7,10 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n-14\n 15\n 16\n 17\n"},
		{"two far ones are two", "a\n" + old + "z\n", old, "@@ -1,4 +1,3 @@\n-a\n 1\n 2\n 3\n@@ -19,4 +18,3 @@\n 18\n 19\n 20\n-z\n"},
		{"from nothing", "", "a\nb", "@@ -1,0 +1,2 @@\n+a\n+b\n"},
		{"to nothing", "a\n", "", "@@ -1,1 +1,0 @@\n-a\n"},
	} {
		if got := show(DiffText(c.old, c.new)); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.what, got, c.want)
		}
	}
}

func TestDiffOfPackages(t *testing.T) {
	old := pack(t, item{name: "a.js", data: "1\n"}, item{name: "gone.js", data: "x\n"}, item{name: "same.bin", data: "\x00\x01"}, item{name: "pic.bin", data: "\x00\x02"},
		item{name: "run.sh", data: "ls\n"}, item{name: "big.txt", data: strings.Repeat("x\n", 2<<20)}, item{name: "d/", mode: fs.ModeDir | 0o755})
	new := pack(t, item{name: "a.js", data: "2\n3\n"}, item{name: "new.js", data: "y\n"}, item{name: "same.bin", data: "\x00\x01"}, item{name: "pic.bin", data: "\x00\x03"},
		item{name: "run.sh", data: "ls\n", mode: 0o755}, item{name: "big.txt", data: strings.Repeat("y\n", 2<<20)})
	diffs, err := Diff(old, new)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range diffs {
		got = append(got, fmt.Sprintf("%s %s +%d -%d binary=%v large=%v mode=%v hunks=%d", d.Path, d.Change, d.Inserted, d.Removed, d.Binary, d.Large, d.ModeChanged, len(d.Hunks)))
	}
	want := []string{
		"a.js changed +2 -1 binary=false large=false mode=false hunks=1",
		"big.txt changed +0 -0 binary=false large=true mode=false hunks=0",
		"gone.js deleted +0 -1 binary=false large=false mode=false hunks=1",
		"new.js added +1 -0 binary=false large=false mode=false hunks=1",
		"pic.bin changed +0 -0 binary=true large=false mode=false hunks=0",
		"run.sh changed +0 -0 binary=false large=false mode=true hunks=0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// unchecked is a zip of one file whose header has no checksum, which readers take as good.
func unchecked(t *testing.T, data string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateRaw(&zip.FileHeader{Name: "a.js", Method: zip.Store, CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEqualChecksumsHideNoChange(t *testing.T) {
	diffs, err := Diff(unchecked(t, "1234\n"), unchecked(t, "4321\n"))
	if err != nil || len(diffs) != 1 || len(diffs[0].Hunks) != 1 {
		t.Errorf("%+v %v", diffs, err)
	}
}

func TestDiffOfADraft(t *testing.T) {
	zip := pack(t, item{name: "a.js", data: "1\n"}, item{name: "b.js", data: "1\n"}, item{name: "c.js", data: "1\n"})
	diffs, err := DiffDraft(zip, []lambda.DraftFile{
		{Path: "a.js", Data: []byte("2\n")}, {Path: "b.js", Deleted: true}, {Path: "c.js", Data: []byte("1\n")}, {Path: "d.js", Data: []byte("1\n")}, {Path: "never.js", Deleted: true},
	})
	if err != nil || len(diffs) != 3 || diffs[0].Change != Changed || diffs[1].Change != Deleted || diffs[2].Change != Added {
		t.Errorf("%+v, %v", diffs, err)
	}
}
