package runtimes

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"kiln/lambda"
)

// nodePackage is an npm package around this machine's own node, or around any bytes.
func nodePackage(t *testing.T, node []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, data := range map[string][]byte{"package/bin/node": node, "package/LICENSE": []byte("MIT"), "package/../../evil": []byte("x"), "package/README.md": []byte("x")} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o777, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

// pinned makes nodejs22.x mean this archive for the time of the test.
func pinned(t *testing.T, archive []byte) {
	t.Helper()
	sum := sha512.Sum512(archive)
	hash := base64.StdEncoding.EncodeToString(sum[:])
	before := pins["nodejs22.x"]
	pins["nodejs22.x"] = pin{before.version, hash, hash}
	t.Cleanup(func() { pins["nodejs22.x"] = before })
}

func serveArchive(t *testing.T, archive []byte) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !strings.HasPrefix(q.URL.Path, "/node-linux-") || !strings.HasSuffix(q.URL.Path, "-22.23.3.tgz") {
			http.NotFound(w, q)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(archive)))
		w.Write(archive)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestInstallPutsAWholeRuntimeInPlace(t *testing.T) {
	archive := nodePackage(t, bytes.Repeat([]byte("no real node"), 1<<16))
	pinned(t, archive)
	data := t.TempDir()
	set := Discover(t.Context(), data)
	server := serveArchive(t, archive)
	for range 2 { // the second replaces the first
		last := int64(0)
		_, err := set.Install(t.Context(), "nodejs22.x", server.URL+"/", func(done, total int64) {
			if done < last || total != int64(len(archive)) {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last = done
		})
		// What was packed does not run, so it is named as broken once it is in place; TestInstallFromTheRegistry installs real ones.
		if key := lambda.KeyOf(err); key != "runtime.broken" {
			t.Fatal(err)
		}
		if last != int64(len(archive)) {
			t.Errorf("progress ended at %d", last)
		}
	}
	place := filepath.Join(Installed(data), "nodejs22.x")
	if info, err := os.Stat(filepath.Join(place, "bin/node")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(place, "README.md")); err == nil {
		t.Error("more was unpacked than is wanted")
	}
	wantOnly(t, Installed(data), "nodejs22.x")
}

func TestInstallRefusesAnotherArchive(t *testing.T) {
	archive := nodePackage(t, []byte("good"))
	pinned(t, archive)
	data := t.TempDir()
	_, err := Of(data).Install(t.Context(), "nodejs22.x", serveArchive(t, append(archive, 0)).URL, nil)
	if lambda.KeyOf(err) != "runtime.integrity" {
		t.Errorf("got %v", err)
	}
	wantOnly(t, Installed(data))
}

func TestInstallReportsARegistryThatIsAway(t *testing.T) {
	data := t.TempDir()
	server := serveArchive(t, nil)
	server.Close()
	if _, err := Of(data).Install(t.Context(), "nodejs22.x", server.URL, nil); lambda.KeyOf(err) != "runtime.download" {
		t.Errorf("got %v", err)
	}
	if _, err := Of(data).Install(t.Context(), "ruby3.4", server.URL, nil); lambda.KeyOf(err) != "runtime.notInstallable" {
		t.Errorf("got %v", err)
	}
	wantOnly(t, Installed(data))
}

func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if len(entries) != len(names) {
		t.Errorf("%s holds %v, want %v", dir, entries, names)
	}
}

// TestInstallFromTheRegistry downloads a real package; KILN_TEST_REGISTRY names the registry.
func TestInstallFromTheRegistry(t *testing.T) {
	registry := os.Getenv("KILN_TEST_REGISTRY")
	if registry == "" {
		t.Skip("KILN_TEST_REGISTRY is not set")
	}
	set := Of(t.TempDir())
	for _, name := range Installable() {
		r, err := set.Install(t.Context(), name, registry, nil)
		if err != nil || r.Name != name || r.Version != pins[name].version {
			t.Errorf("%s on %s: %+v, %v", name, runtime.GOARCH, r, err)
		}
	}
}
