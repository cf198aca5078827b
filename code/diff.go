package code

import (
	"bytes"
	"crypto/sha256"
	"io"
	"maps"
	"slices"
	"strings"

	"kiln/lambda"
)

// How a file changed.
const (
	Added   = "added"
	Changed = "changed"
	Deleted = "deleted"
)

// FileDiff is one file that differs.
type FileDiff struct {
	Path           string
	Change         string // Added, Changed or Deleted
	Binary         bool   // at least one side is not text: no hunks
	Large          bool   // too large to compare by lines: no hunks
	ModeChanged    bool   // it can be run now and could not before, or the other way
	Inserted       int    // lines
	Removed        int
	OldSize        int64 // bytes
	NewSize        int64
	Hunks          []Hunk
	OldMode, Mode  uint32
	NoFinalNewline bool // the new text's last line has no newline
}

// Hunk is a stretch of changed lines with up to three unchanged ones around it. Starts count from 1.
type Hunk struct {
	OldStart, OldLines int
	NewStart, NewLines int
	Lines              []Line
}

// Line is one line of a hunk, without its newline.
type Line struct {
	Op       byte // ' ', '-' or '+'
	Old, New int  // line numbers, 0 where the line is not
	Text     string
}

const around = 3 // unchanged lines shown before and after changes

// Diff lists what differs between two packages, by path.
func Diff(old, new []byte) ([]FileDiff, error) {
	a, err := openBytes(old)
	if err != nil {
		return nil, err
	}
	b, err := openBytes(new)
	if err != nil {
		return nil, err
	}
	paths := map[string]bool{}
	for p := range a.byPath {
		paths[p] = true
	}
	for p := range b.byPath {
		paths[p] = true
	}
	var out []FileDiff
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		d, differs, err := diffEntries(p, a.byPath[p], b.byPath[p])
		if err != nil {
			return nil, err
		}
		if differs {
			out = append(out, d)
		}
	}
	return out, nil
}

// DiffDraft lists what a draft changes in a package. What it saved without a change is left out.
func DiffDraft(zip []byte, drafts []lambda.DraftFile) ([]FileDiff, error) {
	a, err := openBytes(zip)
	if err != nil {
		return nil, err
	}
	changed, err := byDraftPath(drafts)
	if err != nil {
		return nil, err
	}
	var out []FileDiff
	for _, p := range slices.Sorted(maps.Keys(changed)) {
		was, err := a.byPath[p].side()
		if err != nil {
			return nil, err
		}
		is := side{}
		if d := changed[p]; !d.Deleted {
			is = side{there: true, data: d.Data, size: int64(len(d.Data)), mode: plainMode(p, was.mode)}
		}
		if d, differs := compare(p, was, is); differs {
			out = append(out, d)
		}
	}
	return out, nil
}

// side is one of the two versions of a file.
type side struct {
	there bool
	large bool // data is not loaded
	same  bool // known to be the same as the other side
	data  []byte
	size  int64
	mode  uint32
}

func diffEntries(p string, a, b *entry) (FileDiff, bool, error) {
	same, err := a.sameContent(b)
	if err != nil || same && a.mode == b.mode {
		return FileDiff{}, false, err
	}
	was, err := a.side()
	if err != nil {
		return FileDiff{}, false, err
	}
	is, err := b.side()
	if err != nil {
		return FileDiff{}, false, err
	}
	was.same, is.same = same, same
	d, differs := compare(p, was, is)
	return d, differs, nil
}

// sameContent compares what comes out, never checksums: whoever made the package chose those. Files packed alike are not unpacked.
func (e *entry) sameContent(o *entry) (bool, error) {
	if e == nil || o == nil || e.mode.Type() != o.mode.Type() || e.file.UncompressedSize64 != o.file.UncompressedSize64 {
		return false, nil
	}
	if e.mode.IsDir() || e.packedLike(o) {
		return true, nil
	}
	x, err := e.sum()
	if err != nil {
		return false, err
	}
	y, err := o.sum()
	return x == y, err
}

// packedLike says whether both files are the same bytes in their packages.
func (e *entry) packedLike(o *entry) bool {
	if e.file.Method != o.file.Method || e.file.CompressedSize64 != o.file.CompressedSize64 {
		return false
	}
	x, err := e.file.OpenRaw()
	if err != nil {
		return false
	}
	y, err := o.file.OpenRaw()
	if err != nil {
		return false
	}
	var a, b [32 << 10]byte
	for {
		n, err := io.ReadFull(x, a[:])
		m, _ := io.ReadFull(y, b[:])
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return false
		}
		if err != nil {
			return err == io.EOF || err == io.ErrUnexpectedEOF
		}
	}
}

func (e *entry) sum() (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	left := int64(lambda.MaxUnzipped)
	err = e.copyTo(h, &left)
	h.Sum(sum[:0])
	return sum, err
}

// side of no entry, or of a folder, is that there is no file.
func (e *entry) side() (side, error) {
	if e == nil || e.mode.IsDir() {
		return side{}, nil
	}
	s := side{there: true, size: int64(e.file.UncompressedSize64), mode: uint32(e.mode.Perm())}
	if s.size > MaxEditable {
		s.large = true
		return s, nil
	}
	var err error
	s.data, err = e.data()
	return s, err
}

func compare(p string, was, is side) (FileDiff, bool) {
	d := FileDiff{Path: p, OldSize: was.size, NewSize: is.size, OldMode: was.mode, Mode: is.mode}
	switch {
	case !was.there && !is.there:
		return d, false
	case !was.there:
		d.Change = Added
	case !is.there:
		d.Change = Deleted
	default:
		d.Change, d.ModeChanged = Changed, was.mode != is.mode
		if was.same || !was.large && !is.large && bytes.Equal(was.data, is.data) {
			return d, d.ModeChanged
		}
	}
	d.Large = was.large || is.large
	d.Binary = !isText(was.data) || !isText(is.data)
	if !d.Binary && !d.Large {
		d.byLines(string(was.data), string(is.data))
	}
	return d, true
}

func (d *FileDiff) byLines(old, new string) {
	d.Hunks = DiffText(old, new)
	d.NoFinalNewline = new != "" && !strings.HasSuffix(new, "\n")
	for _, h := range d.Hunks {
		for _, l := range h.Lines {
			switch l.Op {
			case '+':
				d.Inserted++
			case '-':
				d.Removed++
			}
		}
	}
}

// DiffText compares two texts by lines.
func DiffText(old, new string) []Hunk {
	b := hunkBuilder{old: lines(old), new: lines(new)}
	for _, o := range edits(b.old, b.new) {
		b.take(o)
	}
	return b.hunks
}

// hunkBuilder walks both texts at once.
type hunkBuilder struct {
	old, new []string
	x, y     int // lines behind us
	hunks    []Hunk
	open     bool // the last hunk takes more lines
}

func (b *hunkBuilder) take(o op) {
	if o.kind == ' ' {
		b.keep(o.n)
		return
	}
	if !b.open {
		b.begin()
	}
	for range o.n {
		b.step(o.kind)
	}
}

// keep passes unchanged lines: the first of them end the hunk, and when others are near enough they join the next one to it.
func (b *hunkBuilder) keep(n int) {
	last := b.x+n == len(b.old) && b.y+n == len(b.new)
	if b.open && (n > 2*around || last) {
		for range min(n, around) {
			b.step(' ')
		}
		n -= min(n, around)
		b.open = false
	}
	if b.open {
		for range n {
			b.step(' ')
		}
		return
	}
	b.x, b.y = b.x+n, b.y+n
}

func (b *hunkBuilder) begin() {
	before := min(around, b.x, b.y)
	b.x, b.y = b.x-before, b.y-before
	b.hunks = append(b.hunks, Hunk{OldStart: b.x + 1, NewStart: b.y + 1})
	b.open = true
	for range before {
		b.step(' ')
	}
}

func (b *hunkBuilder) step(kind byte) {
	h := &b.hunks[len(b.hunks)-1]
	l := Line{Op: kind}
	if kind != '+' {
		l.Text = b.old[b.x]
		b.x++
		h.OldLines++
		l.Old = b.x
	}
	if kind != '-' {
		l.Text = b.new[b.y]
		b.y++
		h.NewLines++
		l.New = b.y
	}
	l.Text = strings.TrimSuffix(l.Text, "\n")
	h.Lines = append(h.Lines, l)
}
