package code

import "strings"

// op is one step from an old list of lines to a new one: n lines are kept, deleted or inserted.
type op struct {
	kind byte // ' ', '-' or '+'
	n    int
}

// maxEdits bounds the work of a comparison; texts that differ in more lines are shown as replaced between their common ends.
const maxEdits = 2000

// lines splits text after its newlines; a last line without one stays as it is.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	out := strings.SplitAfter(text, "\n")
	if out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// edits is a shortest way from a to b (Myers, "An O(ND) Difference Algorithm", 1986), deletions before insertions.
func edits(a, b []string) []op {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	out := add(nil, ' ', head)
	out = append(out, middle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	return add(out, ' ', tail)
}

func add(ops []op, kind byte, n int) []op {
	switch {
	case n == 0:
		return ops
	case len(ops) > 0 && ops[len(ops)-1].kind == kind:
		ops[len(ops)-1].n += n
		return ops
	default:
		return append(ops, op{kind, n})
	}
}

func middle(a, b []string) []op {
	if len(a) == 0 || len(b) == 0 {
		return add(add(nil, '-', len(a)), '+', len(b))
	}
	trace, found := forward(number(a, b))
	if !found {
		return add(add(nil, '-', len(a)), '+', len(b))
	}
	return back(trace, len(a), len(b))
}

// number gives equal lines equal numbers, so that each comparison is one of numbers.
func number(a, b []string) (x, y []int) {
	ids := make(map[string]int, len(a))
	convert := func(in []string) []int {
		out := make([]int, len(in))
		for i, s := range in {
			id, ok := ids[s]
			if !ok {
				id = len(ids)
				ids[s] = id
			}
			out[i] = id
		}
		return out
	}
	return convert(a), convert(b)
}

// forward walks the furthest reaching paths with 0, 1, 2 … edits and keeps the end points of each step: trace[d][k+d] is how far in a
// the path with d edits on diagonal k comes.
func forward(a, b []int) (trace [][]int, found bool) {
	limit := min(len(a)+len(b), maxEdits)
	at := make([]int, 2*limit+3) // at[k+limit+1]
	for d := 0; d <= limit; d++ {
		step := make([]int, 2*d+1)
		for k := -d; k <= d; k += 2 {
			x := at[k+limit] + 1 // from k-1: a deletion
			if k == -d || k != d && at[k+limit] < at[k+limit+2] {
				x = at[k+limit+2] // from k+1: an insertion
			}
			for x < len(a) && x-k < len(b) && x >= 0 && x-k >= 0 && a[x] == b[x-k] {
				x++
			}
			at[k+limit+1], step[k+d] = x, x
			if x >= len(a) && x-k >= len(b) {
				return append(trace, step), true
			}
		}
		trace = append(trace, step)
	}
	return nil, false
}

// back follows the trace from its end.
func back(trace [][]int, x, y int) []op {
	var reversed []op
	for d := len(trace) - 1; d > 0; d-- {
		k, before := x-y, trace[d-1]
		down := k == -d || k != d && before[k-1+d-1] < before[k+1+d-1]
		prev := k - 1
		if down {
			prev = k + 1
		}
		px := before[prev+d-1]
		sx := px // where the step ends and equal lines begin
		kind := byte('+')
		if !down {
			sx, kind = px+1, '-'
		}
		reversed = add(reversed, ' ', x-sx)
		reversed = add(reversed, kind, 1)
		x, y = px, px-prev
	}
	reversed = add(reversed, ' ', x)
	return inOrder(reversed)
}

// inOrder turns the steps around, with deletions before insertions between two kept stretches.
func inOrder(reversed []op) []op {
	var out []op
	deleted, inserted := 0, 0
	for i := len(reversed) - 1; i >= 0; i-- {
		switch o := reversed[i]; o.kind {
		case '-':
			deleted += o.n
		case '+':
			inserted += o.n
		default:
			out = add(add(add(out, '-', deleted), '+', inserted), ' ', o.n)
			deleted, inserted = 0, 0
		}
	}
	return add(add(out, '-', deleted), '+', inserted)
}
