// Package static holds the browser's files: src is what people edit, dist is what static/build made of it and what is embedded.
package static

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed dist
var dist embed.FS

// Prefix is the path below which Handler serves.
const Prefix = "/static/"

var manifest = sync.OnceValue(func() map[string]string {
	b, err := dist.ReadFile("dist/manifest.json")
	if err != nil {
		panic(err) // embedded by the compiler
	}
	m := map[string]string{}
	if err := json.Unmarshal(b, &m); err != nil {
		panic(err)
	}
	return m
})

// URL is the address of a built file by its source's name: "app.css", "app.js", "icons.svg". It panics on a name that was never built.
func URL(name string) string {
	hashed, ok := manifest()[name]
	if !ok {
		panic(fmt.Sprintf("static: %q is not built: add it to static/build", name))
	}
	return Prefix + hashed
}

// file is one built file as it is sent.
type file struct {
	plain, gzipped []byte
	kind           string
}

var kinds = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

var files = sync.OnceValue(func() map[string]*file {
	all := map[string]*file{}
	names, err := fs.Glob(dist, "dist/*")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		kind, served := kinds[path.Ext(name)]
		if !served {
			continue
		}
		b, err := dist.ReadFile(name)
		if err != nil {
			panic(err)
		}
		all[path.Base(name)] = &file{plain: b, gzipped: compress(b), kind: kind}
	}
	return all
})

func compress(b []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = w.Write(b) // a bytes.Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// Handler serves the built files under Prefix: immutable, because their names change with their content, and compressed for who takes it.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := files()[strings.TrimPrefix(r.URL.Path, Prefix)]
		if f == nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", f.kind)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Vary", "Accept-Encoding")
		body := f.plain
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = f.gzipped
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

// Weights are the sizes in bytes, compressed, of the built files by name.
func Weights() map[string]int {
	m := map[string]int{}
	for name, f := range files() {
		m[name] = len(f.gzipped)
	}
	return m
}
