package web

import (
	"math"
	"strconv"
	"strings"
)

// State is a function's or a thing's health: a word with an icon, never a colour alone.
type State struct {
	Class string // "ok", "warn", "err" or "" for neither
	Icon  string
	Key   string // message key of the word
	Chip  bool   // with a wash
}

// The states of a function.
var (
	StateOK        = State{Class: "ok", Icon: "check", Key: "state.ok"}
	StateIdle      = State{Icon: "minus", Key: "state.idle"}
	StateFailing   = State{Class: "err", Icon: "err", Key: "state.failing"}
	StateThrottled = State{Class: "warn", Icon: "hour", Key: "state.throttled"}
	StateStopped   = State{Class: "warn", Icon: "pause", Key: "state.stopped"}
	StateNoRuntime = State{Class: "warn", Icon: "warn", Key: "state.noruntime"}
)

// AsChip is s with a wash.
func (s State) AsChip() State { s.Chip = true; return s }

func (s State) class() string {
	c := "st"
	if s.Chip {
		c = "chip st"
	}
	if s.Class != "" {
		c += " st-" + s.Class
	}
	return c
}

// Spark is a small line: Values over equal periods, and which of them had errors.
type Spark struct {
	Values []float64
	Errors []bool
	W, H   int    // of the drawing; 0 means 88 × 20
	Label  string // what a screen reader says; "" hides the drawing from it
}

func (s Spark) size() (w, h float64) {
	if s.W == 0 {
		return 88, 20
	}
	return float64(s.W), float64(s.H)
}

// ViewBox is the SVG's.
func (s Spark) ViewBox() string {
	w, h := s.size()
	return "0 0 " + num(w) + " " + num(h)
}

// Line is the path of the line; errors have a lane of 5 px below it.
func (s Spark) Line() string {
	w, h := s.size()
	top, bottom := 2.5, h-5
	high := 0.0
	for _, v := range s.Values {
		high = math.Max(high, v)
	}
	if len(s.Values) < 2 || high == 0 {
		return "M0 " + num(bottom) + "L" + num(w) + " " + num(bottom)
	}
	var b strings.Builder
	for i, v := range s.Values {
		b.WriteString(map[bool]string{true: "M", false: "L"}[i == 0])
		b.WriteString(num(w*float64(i)/float64(len(s.Values)-1)) + " " + num(bottom-(bottom-top)*v/high))
	}
	return b.String()
}

// Area is the path of the wash below the line.
func (s Spark) Area() string {
	w, h := s.size()
	return s.Line() + "L" + num(w) + " " + num(h-5) + "L0 " + num(h-5) + "Z"
}

// marks are the left edges of the error marks.
func (s Spark) marks() []string {
	w, _ := s.size()
	var out []string
	for i, bad := range s.Errors {
		if bad {
			x := w * float64(i) / math.Max(1, float64(len(s.Errors)-1))
			out = append(out, num(math.Min(math.Max(0, x-1.25), w-2.5)))
		}
	}
	return out
}

func (s Spark) markTop() string {
	_, h := s.size()
	return num(h - 4)
}

func num(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

// Fact is one number over its label.
type Fact struct {
	Label string
	Value string
	Unit  string
	Extra string // small, after the unit
	Exact string // what hovering shows
	Href  string // makes the value a link
	Spark *Spark
}

// Field is one input of a form with what is wrong with it.
type Field struct {
	ID, Name, Label, Value string
	Type                   string // "" is text
	Unit                   string // inside the input, at its end
	Hint, Error, Was       string
	Mono, Required         bool
	InputMode              string
	AutoComplete           string
	List                   string // id of a datalist
	Max                    int    // characters
	Disabled               bool
}

func (f Field) class() string {
	switch {
	case f.Error != "":
		return "field bad"
	case f.Was != "":
		return "field chg"
	}
	return "field"
}

// describedBy names the texts that belong to the input.
func (f Field) describedBy() string {
	var ids []string
	if f.Error != "" {
		ids = append(ids, f.ID+"-e")
	}
	if f.Was != "" {
		ids = append(ids, f.ID+"-w")
	}
	if f.Hint != "" {
		ids = append(ids, f.ID+"-h")
	}
	return strings.Join(ids, " ")
}

// Initials are what an avatar shows.
func Initials(name string) string {
	words := strings.Fields(name)
	var out []rune
	for _, w := range words {
		out = append(out, []rune(strings.ToUpper(w))[0])
	}
	if len(out) > 2 {
		out = []rune{out[0], out[len(out)-1]}
	}
	return string(out)
}

func bannerIcon(kind string) string {
	if kind == "" {
		return "info"
	}
	return kind
}

func toastRole(kind string) string {
	if kind == "err" {
		return "alert"
	}
	return "status"
}
