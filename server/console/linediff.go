package console

import (
	"bytes"
	"slices"
	"strings"

	"kiln/lambda"
	"kiln/web"
)

const (
	maxDiffLines = 20_000 // of a file: longer ones are not compared line by line
	maxDiffEdits = 2_000  // edits that the comparison looks for; beyond it the file counts as replaced
	maxDiffFiles = 200
	diffContext  = 3
)

func joined(list []string) string { return strings.Join(list, ", ") }

// diffFiles compares two packages file by file, by path.
func diffFiles(before, after []lambda.File) (out []web.FileDiff) {
	old := map[string]lambda.File{}
	for _, f := range before {
		old[f.Path] = f
	}
	now := map[string]lambda.File{}
	var paths []string
	for _, f := range after {
		now[f.Path] = f
		paths = append(paths, f.Path)
	}
	for _, f := range before {
		if _, there := now[f.Path]; !there {
			paths = append(paths, f.Path)
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		a, hadA := old[path]
		b, hasB := now[path]
		if hadA && hasB && a.Size == b.Size && bytes.Equal(a.Data, b.Data) && !a.Binary && !a.Large {
			continue
		}
		out = append(out, diffFile(path, a, b, hadA, hasB))
		if len(out) == maxDiffFiles {
			break
		}
	}
	return out
}

func diffFile(path string, a, b lambda.File, hadA, hasB bool) web.FileDiff {
	d := web.FileDiff{Path: path, Kind: "changed"}
	switch {
	case !hadA:
		d.Kind = "added"
	case !hasB:
		d.Kind = "removed"
	}
	if a.Binary || b.Binary || a.Large || b.Large {
		d.NotShown = true
		return d
	}
	x, y := splitText(string(a.Data)), splitText(string(b.Data))
	if len(x) > maxDiffLines || len(y) > maxDiffLines {
		d.NotShown = true
		return d
	}
	d.Lines = withContext(diffLines(x, y))
	for _, l := range d.Lines {
		switch l.Op {
		case '+':
			d.Plus++
		case '-':
			d.Minus++
		}
	}
	return d
}

// diffLines is the shortest edit from a to b (Myers), or the whole replaced when it takes more than maxDiffEdits.
func diffLines(a, b []string) []web.DiffLine {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	out := make([]web.DiffLine, 0, len(a)+len(b))
	same := func(i, j int) {
		out = append(out, web.DiffLine{Op: ' ', Old: i + 1, New: j + 1, Text: a[i]})
	}
	for i := range head {
		same(i, i)
	}
	for _, op := range edits(a[head:len(a)-tail], b[head:len(b)-tail]) {
		i, j := op.i+head, op.j+head
		switch op.op {
		case ' ':
			same(i, j)
		case '-':
			out = append(out, web.DiffLine{Op: '-', Old: i + 1, Text: a[i]})
		case '+':
			out = append(out, web.DiffLine{Op: '+', New: j + 1, Text: b[j]})
		}
	}
	for t := tail; t > 0; t-- {
		same(len(a)-t, len(b)-t)
	}
	return out
}

// edit is one step: op with the indexes that it is about.
type edit struct {
	op   byte
	i, j int
}

func edits(a, b []string) []edit {
	trace, ok := shortest(a, b)
	if !ok {
		return replaced(a, b)
	}
	var out []edit
	x, y := len(a), len(b)
	for d := len(trace) - 1; d >= 0; d-- {
		v, k := trace[d], x-y
		prev := k - 1
		if k == -d || k != d && v.at(k-1) < v.at(k+1) {
			prev = k + 1
		}
		px := v.at(prev)
		py := px - prev
		for x > px && y > py {
			x, y = x-1, y-1
			out = append(out, edit{' ', x, y})
		}
		if d == 0 {
			break
		}
		if x == px {
			y--
			out = append(out, edit{'+', x, y})
		} else {
			x--
			out = append(out, edit{'-', x, y})
		}
	}
	slices.Reverse(out)
	return out
}

func replaced(a, b []string) (out []edit) {
	for i := range a {
		out = append(out, edit{'-', i, 0})
	}
	for j := range b {
		out = append(out, edit{'+', len(a), j})
	}
	return out
}

// reach is how far each diagonal −d … d got; index d is diagonal 0.
type reach []int

func (r reach) at(k int) int {
	i := k + len(r)/2
	if i < 0 || i >= len(r) {
		return 0
	}
	return r[i]
}

// shortest runs Myers' greedy search and keeps the state before each step.
func shortest(a, b []string) (trace []reach, ok bool) {
	most := min(len(a)+len(b), maxDiffEdits)
	v := make([]int, 2*most+3)
	mid := most + 1
	for d := 0; d <= most; d++ {
		trace = append(trace, slices.Clone(reach(v[mid-d-1:mid+d+2])))
		for k := -d; k <= d; k += 2 {
			x := v[mid+k-1] + 1
			if k == -d || k != d && v[mid+k-1] < v[mid+k+1] {
				x = v[mid+k+1]
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			v[mid+k] = x
			if x >= len(a) && x-k >= len(b) {
				return trace, true
			}
		}
	}
	return nil, false
}

// withContext leaves out what is far from every change; '@' marks a gap.
func withContext(lines []web.DiffLine) (out []web.DiffLine) {
	keep := make([]bool, len(lines))
	for i, l := range lines {
		if l.Op == ' ' {
			continue
		}
		for j := max(0, i-diffContext); j <= min(len(lines)-1, i+diffContext); j++ {
			keep[j] = true
		}
	}
	gap := false
	for i, l := range lines {
		if !keep[i] {
			gap = true
			continue
		}
		if gap && len(out) > 0 {
			out = append(out, web.DiffLine{Op: '@'})
		}
		gap = false
		out = append(out, l)
	}
	return out
}
