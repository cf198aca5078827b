package web

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// Versions is a function's history.
type Versions struct {
	Head     FunctionHead
	Current  int64 // number of the newest revision
	Days     []VersionDay
	Next     int64 // page key of the older ones; 0 when this is the last page
	From, To int64 // what is compared
	Numbers  []int64
	Diff     *RevisionDiff
	Flash    string

	Published []PublishedVersion // newest first
	OnLatest  []AliasFlag        // aliases that point at $LATEST
}

// PublishedVersion is an immutable version with the aliases that point at it.
type PublishedVersion struct {
	Number          int64
	Description, By string
	At              time.Time
	Size            int64
	Aliases         []AliasFlag
}

// AliasFlag is an alias; Share is above 0 when its calls go to two versions.
type AliasFlag struct {
	Name  string
	Share float64
}

// VersionDay is a day of the timeline.
type VersionDay struct {
	At    time.Time
	Items []VersionItem
}

// VersionItem is one revision in the timeline.
type VersionItem struct {
	Change  Change
	Changes []ConfigChange // against the one before
	NewCode bool
	Size    int64
	Current bool
	Note    string
}

// RevisionDiff is what differs between two revisions.
type RevisionDiff struct {
	Config []ConfigChange
	Files  []FileDiff
	Same   bool // same package
}

// FileDiff is what differs in one file.
type FileDiff struct {
	Path     string
	Kind     string // "added", "removed", "changed"
	Plus     int
	Minus    int
	Lines    []DiffLine
	NotShown bool // binary or too large
}

// DiffLine is one line of a diff: Op is ' ', '+', '-' or '@' for a gap.
type DiffLine struct {
	Op       byte
	Old, New int // line numbers, 0 for none
	Text     string
}

func (d RevisionDiff) plusMinus() (plus, minus int) {
	for _, f := range d.Files {
		plus += f.Plus
		minus += f.Minus
	}
	return plus, minus
}

func (v Versions) comparePath(from, to int64) string {
	return FunctionPath(v.Head.Name, "versions") + "?" + url.Values{"from": {strconv.FormatInt(from, 10)}, "to": {strconv.FormatInt(to, 10)}}.Encode()
}

func causeIcon(cause string) string {
	switch cause {
	case "configure":
		return "sliders"
	case "rollback":
		return "back"
	}
	return "deploy"
}

func causeClass(cause string) string {
	switch cause {
	case "configure":
		return "set"
	case "rollback":
		return "rb"
	}
	return "dep"
}

// summary says in a line what a revision changed.
func (i VersionItem) summary(ctx context.Context) string {
	if i.Note != "" {
		return i.Note
	}
	switch {
	case i.Change.Cause == "create":
		return T(ctx, "versions.created")
	case i.Change.Cause == "rollback":
		return T(ctx, "versions.rolled", "r", revision(i.Change.From))
	case len(i.Changes) == 0 && i.NewCode:
		return T(ctx, "versions.code")
	case len(i.Changes) == 0:
		return T(ctx, "versions.same")
	}
	c := i.Changes[0]
	text := T(ctx, "versions.change", "field", c.Label, "before", orNone(ctx, c.Before), "after", orNone(ctx, c.After))
	if more := len(i.Changes) - 1; more > 0 {
		text += " " + T(ctx, "versions.more", "n", more)
	}
	return text
}

func orNone(ctx context.Context, s string) string {
	if s == "" {
		return T(ctx, "field.none")
	}
	return s
}

func lineClass(op byte) string {
	switch op {
	case '+':
		return "ln add"
	case '-':
		return "ln del"
	}
	return "ln"
}

func opSign(op byte) string {
	if op == '-' {
		return "−"
	}
	return string(op)
}

func numberOrBlank(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func deleteField(ctx context.Context, d Delete) Field {
	f := Field{ID: "delete-name", Name: "name", Label: T(ctx, "delete.type", "name", d.Name), Value: d.Typed, Mono: true, Required: true}
	if d.Wrong {
		f.Error = T(ctx, "delete.wrong", "name", d.Name)
	}
	return f
}
