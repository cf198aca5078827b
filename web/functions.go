package web

import (
	"net/url"
	"time"
)

// Functions is the list.
type Functions struct {
	Query string
	Sort  string // "name", "errors", "p95", "cold", "cost", "change"
	Rows  []FunctionRow
	Total int    // of the account
	Next  string // last name of this page; "" when it is the last
	Cut   bool   // more match than are shown
	Flash string
}

// FunctionRow is one function with its figures.
type FunctionRow struct {
	Name, Description, Runtime string
	State                      State
	Hour                       Spark
	Last                       Figures // the last hour
	Today                      Figures
	ChangedAt                  time.Time
	ChangedBy                  string
}

// sortColumns are the columns that can be sorted, with their css class.
var sortColumns = []struct{ key, label, class string }{
	{"name", "col.name", ""}, {"", "col.state", ""}, {"", "col.runtime", ""}, {"", "col.hour", ""},
	{"errors", "col.errors", "num"}, {"p95", "col.p95", "num"}, {"cold", "col.cold", "num"}, {"cost", "col.cost", "num"}, {"change", "col.change", ""},
}

func (f Functions) sortPath(key string) string {
	q := url.Values{}
	if f.Query != "" {
		q.Set("q", f.Query)
	}
	if key != "name" {
		q.Set("sort", key)
	}
	return pathWith("/functions", q)
}

func (f Functions) nextPath() string {
	q := url.Values{"after": {f.Next}}
	if f.Query != "" {
		q.Set("q", f.Query)
	}
	return pathWith("/functions", q)
}

func pathWith(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func errorClass(f Figures) string {
	switch {
	case f.Errors == 0:
		return "num c-er z"
	case f.ErrorShare() >= 0.05:
		return "num c-er bad"
	}
	return "num c-er"
}

func sortDirection(key string) string {
	if key == "name" {
		return "ascending"
	}
	return "descending"
}
