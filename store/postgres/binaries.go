package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the oldest major version that Kiln's schema and queries need.
const minMajor = 14

// binaries is one installed PostgreSQL.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

var versionPattern = regexp.MustCompile(`PostgreSQL\) (\d+)`)

// installed lists the PostgreSQL installations in order of preference: $PGBIN, pg_config's, then the newest of the usual folders.
func installed(ctx context.Context) []binaries {
	var dirs []string
	if d := os.Getenv("PGBIN"); d != "" {
		dirs = append(dirs, d)
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	dirs = append(dirs, usualFolders()...)
	var found []binaries
	for _, d := range dirs {
		if slices.ContainsFunc(found, func(b binaries) bool { return b.dir == d }) {
			continue
		}
		if major := majorOf(ctx, filepath.Join(d, "postgres")); major > 0 {
			found = append(found, binaries{d, major})
		}
	}
	return found
}

func usualFolders() []string {
	patterns := []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}
	if runtime.GOOS == "darwin" {
		patterns = append(patterns, "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin", "/Applications/Postgres.app/Contents/Versions/*/bin")
	}
	var dirs []string
	for _, p := range patterns {
		match, _ := filepath.Glob(p) // only a malformed pattern is an error
		slices.SortFunc(match, func(a, b string) int { return numberIn(b) - numberIn(a) })
		dirs = append(dirs, match...)
	}
	return dirs
}

var digits = regexp.MustCompile(`\d+`)

func numberIn(path string) int {
	n, _ := strconv.Atoi(digits.FindString(path))
	return n
}

// majorOf is 0 when the program does not run.
func majorOf(ctx context.Context, program string) int {
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return 0
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// choose finds the installation that fits the data folder: its major when there is one, else the first that is new enough.
func choose(ctx context.Context, data string) (binaries, error) {
	all := installed(ctx)
	want, err := majorOfData(data)
	if err != nil {
		return binaries{}, err
	}
	for _, b := range all {
		if want == 0 && b.major >= minMajor || want == b.major {
			return b, nil
		}
	}
	switch {
	case want != 0:
		return binaries{}, fmt.Errorf("the database in %s was made by PostgreSQL %d, which is not installed (Debian and Ubuntu: package postgresql-%d); nothing was changed", data, want, want)
	case len(all) > 0:
		return binaries{}, fmt.Errorf("PostgreSQL %d in %s is too old: Kiln needs %d or newer (Debian and Ubuntu: package postgresql)", all[0].major, all[0].dir, minMajor)
	}
	return binaries{}, errors.New("PostgreSQL is not installed (Debian and Ubuntu: package postgresql); install it, set PGBIN to the folder of its programs, or set DATABASE_URL")
}

// majorOfData is 0 when there is no database yet.
func majorOfData(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the database's version: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("%s/PG_VERSION holds %q, not a version", data, strings.TrimSpace(string(b)))
	}
	return n, nil
}
