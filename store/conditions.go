package store

import (
	"strconv"
	"strings"
)

// conditions gathers a WHERE clause and its arguments; no value ever becomes SQL text.
type conditions struct {
	clauses []string
	args    []any
}

// add appends "<left>$n".
func (w *conditions) add(left string, v any) { w.clauses = append(w.clauses, left+w.arg(v)) }

// arg is the placeholder of one more argument.
func (w *conditions) arg(v any) string {
	w.args = append(w.args, v)
	return "$" + strconv.Itoa(len(w.args))
}

func (w *conditions) sql() string {
	if len(w.clauses) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.clauses, " AND ")
}
