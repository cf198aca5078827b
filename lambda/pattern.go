package lambda

import (
	"regexp"
	"sync"
)

// pattern compiles its expression at first use: every sandbox starts this program once, and needs none of them.
type pattern func() *regexp.Regexp

func lazily(expression string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// MatchString says whether s matches.
func (p pattern) MatchString(s string) bool { return p().MatchString(s) }

// FindStringSubmatch is the match and its groups, nil for none.
func (p pattern) FindStringSubmatch(s string) []string { return p().FindStringSubmatch(s) }
