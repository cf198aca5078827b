package web

import (
	"slices"
	"strings"
	"time"

	"kiln/web/messages"
)

// Frame is what surrounds a page's content.
type Frame struct {
	Title    string        // of the document, without " · Kiln"
	Nav      string        // which page of the rail is current: "home", "functions", "invocations", "logs", "settings"
	Crumbs   []Crumb       // the last one is this page
	Function *FunctionHead // pages of one function: header and tabs
	New      bool          // offers "New function" in the top bar
	Live     bool          // the page follows what happens
	Fixed    bool          // the content scrolls inside, not the page
	Watch    bool          // watches functions: see Document
	Flash    string        // a short message that a redirect brought along
}

// Crumb is one step of the path; no Href is this page.
type Crumb struct{ Label, Href string }

// FunctionHead is the header of a function's pages.
type FunctionHead struct {
	Name    string
	Runtime string
	Tab     string // "workspace", "invocations", "logs", "monitor", "configure", "versions"
	Version string // what the page shows, "" for $LATEST
	Vitals  *Vitals
}

// Vitals are a function's figures of the last minutes.
type Vitals struct {
	PerMinute  float64
	ErrorShare float64 // 0 … 1
	P95        time.Duration
}

// FunctionPath is the address of a function's page; tab "" is its workspace.
func FunctionPath(name, tab string) string {
	if tab == "" || tab == "workspace" {
		return "/functions/" + name
	}
	return "/functions/" + name + "/" + tab
}

// FunctionTabs are the pages of a function in order.
var FunctionTabs = []string{"workspace", "invocations", "logs", "monitor", "configure", "versions"}

type navItem struct{ key, href, icon string }

var navItems = []navItem{
	{"home", "/", "home"},
	{"functions", "/functions", "fn"},
	{"invocations", "/invocations", "inv"},
	{"logs", "/logs", "logs"},
	{"settings", "/settings", "gear"},
}

func (f Frame) crumbs() []Crumb { return f.Crumbs[:max(0, len(f.Crumbs)-1)] }

func (f Frame) here() string {
	if len(f.Crumbs) == 0 {
		return f.Title
	}
	return f.Crumbs[len(f.Crumbs)-1].Label
}

func pinColour(s State) string {
	if s.Class == "err" {
		return "c-e"
	}
	return "c-w"
}

func perMinuteDecimals(f float64) int {
	if f > 0 && f < 10 {
		return 1
	}
	return 0
}

func localeName(l messages.Locale) string {
	if l == messages.Korean {
		return "한국어"
	}
	return "English"
}

// togglePin is the list of pinned functions with name added or taken away.
func togglePin(pins []string, name string) string {
	if at := slices.Index(pins, name); at >= 0 {
		return strings.Join(slices.Delete(slices.Clone(pins), at, at+1), " ")
	}
	return strings.Join(append(slices.Clone(pins), name), " ")
}
