package runtimes

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"kiln/lambda"
)

// Set is the runtimes of this machine. It is safe for concurrent use.
type Set struct {
	dataDir string
	look    func(context.Context) []Runtime // a nil answer keeps what is known

	mu   sync.RWMutex
	list []Runtime
}

// Discover looks for the runtimes of this machine and of the data folder. It runs each interpreter once to ask its version.
func Discover(ctx context.Context, dataDir string) *Set {
	return Ask(ctx, dataDir, func(ctx context.Context) []Runtime { return discover(ctx, dataDir) })
}

// Ask is Discover by another process, which may see what this one may not: look answers the whole list, or nil when it cannot tell now.
func Ask(ctx context.Context, dataDir string, look func(context.Context) []Runtime) *Set {
	s := &Set{dataDir: dataDir, look: look}
	s.Refresh(ctx)
	return s
}

// Of is a set of known runtimes: for a process that cannot look for itself, and for tests. Refresh replaces the list.
func Of(dataDir string, list ...Runtime) *Set {
	s := &Set{dataDir: dataDir, look: func(ctx context.Context) []Runtime { return discover(ctx, dataDir) }}
	s.replace(slices.Clone(list))
	return s
}

// Refresh looks again, for example after an installation by another process.
func (s *Set) Refresh(ctx context.Context) {
	if list := s.look(ctx); list != nil {
		s.replace(list)
	}
}

func (s *Set) replace(list []Runtime) {
	slices.SortFunc(list, func(a, b Runtime) int { return compareNames(a.Name, b.Name) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
}

// All is every runtime of this machine, in the order of their names and numbers.
func (s *Set) All() []Runtime {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.list)
}

// Resolve gives the runtime that runs functions of AWS's runtime name: the one of this name, else the nearest number of the same family
// (the newer of two equally near), and then says that it is a substitute. Unavailable "runtime.missing" when there is none.
func (s *Set) Resolve(name string) (r Runtime, substitute bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	family, number := parseName(name)
	best := -1
	for i, have := range s.list {
		f, n := parseName(have.Name)
		switch {
		case have.Name == name:
			return have, false, nil
		case f != family || family == Provided || family == "":
		case best < 0 || nearer(n, numberOf(s.list[best]), number):
			best = i
		}
	}
	if best < 0 {
		return Runtime{}, false, lambda.E(lambda.Unavailable, "runtime.missing", "runtime", name)
	}
	return s.list[best], true, nil
}

func nearer(a, than, to int) bool {
	da, dt := max(a-to, to-a), max(than-to, to-than)
	return da < dt || da == dt && a > than
}

func numberOf(r Runtime) int {
	_, n := parseName(r.Name)
	return n
}

// parseName splits "nodejs22.x" into Node and 22, "python3.11" into Python and 11; family "" for names that Kiln runs nothing for.
func parseName(name string) (Family, int) {
	if rest, ok := strings.CutPrefix(name, "nodejs"); ok {
		n, err := strconv.Atoi(strings.TrimSuffix(rest, ".x"))
		if err == nil {
			return Node, n
		}
	}
	if rest, ok := strings.CutPrefix(name, "python3."); ok {
		if n, err := strconv.Atoi(rest); err == nil {
			return Python, n
		}
	}
	if strings.HasPrefix(name, "provided") {
		return Provided, 0
	}
	return "", 0
}

func compareNames(a, b string) int {
	fa, na := parseName(a)
	fb, nb := parseName(b)
	if fa != fb || fa == Provided {
		return strings.Compare(a, b)
	}
	return nb - na // newest first
}
