package runtimes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kiln/lambda"
)

func TestDiscoveryFindsRealInterpreters(t *testing.T) {
	set := Discover(t.Context(), t.TempDir())
	for _, r := range set.All() {
		if r.Family == Provided {
			continue
		}
		if !isELF(r.Binary) || r.Version == "" {
			t.Errorf("%+v is not a real binary", r)
		}
		if r.Prefix == "" && !strings.HasPrefix(r.Binary, "/usr/") || r.Prefix != "" && !strings.HasPrefix(r.Binary, r.Prefix+"/") {
			t.Errorf("%+v cannot be bound", r)
		}
		t.Logf("%+v", r)
	}
	for _, name := range []string{"provided.al2023", "provided.al2"} {
		if _, sub, err := set.Resolve(name); err != nil || sub {
			t.Errorf("%s: substitute %v, %v", name, sub, err)
		}
	}
	if _, err := exec.LookPath("python3"); err == nil {
		if _, _, err := set.Resolve("python3.12"); err != nil {
			t.Error(err)
		}
	}
}

func TestNearestNumberRuns(t *testing.T) {
	node := func(n string) Runtime { return Runtime{Name: n, Family: Node} }
	set := Of("", node("nodejs20.x"), node("nodejs24.x"), Runtime{Name: "python3.9", Family: Python}, Runtime{Name: "python3.11", Family: Python},
		Runtime{Name: "provided.al2023", Family: Provided})
	for _, c := range []struct {
		ask, want string
		sub       bool
	}{
		{"nodejs20.x", "nodejs20.x", false}, {"nodejs22.x", "nodejs24.x", true}, {"nodejs18.x", "nodejs20.x", true},
		{"python3.13", "python3.11", true}, {"python3.10", "python3.11", true}, {"python3.9", "python3.9", false},
		{"provided.al2", "", false}, {"ruby3.4", "", false}, {"java21", "", false}, {"", "", false},
	} {
		r, sub, err := set.Resolve(c.ask)
		if r.Name != c.want || sub != c.sub || (err == nil) != (c.want != "") {
			t.Errorf("%s: %+v %v %v", c.ask, r, sub, err)
		}
		if err != nil && (lambda.KindOf(err) != lambda.Unavailable || lambda.KeyOf(err) != "runtime.missing") {
			t.Errorf("%s: %v", c.ask, err)
		}
	}
}

func TestHomesAreNeverBound(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, ok := prefixOf(filepath.Join(home, "bin", "node")); ok {
		t.Error("a folder that is no installation was taken as a prefix")
	}
}

func TestBootstrapsAreReadableAndWrittenOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "runtime")
	if err := WriteBootstraps(dir); err != nil {
		t.Fatal(err)
	}
	var before []os.FileInfo
	files := []string{"node/bootstrap.js", "node/channel.js", "python/bootstrap.py"}
	for _, f := range files {
		info, err := os.Stat(filepath.Join(dir, f))
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Fatalf("%s: %v %v", f, info, err)
		}
		before = append(before, info)
	}
	if err := os.WriteFile(filepath.Join(dir, files[0]), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteBootstraps(dir); err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		info, err := os.Stat(filepath.Join(dir, f))
		if err != nil || os.SameFile(info, before[i]) != (i > 0) {
			t.Errorf("%s: only what differs is written again (%v)", f, err)
		}
	}
}
