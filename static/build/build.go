package main

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// entries are what pages name; islands become chunks of their own because app.ts imports them on demand.
var entries = []string{"src/app.css", "src/watch.css", "src/workspace.css", "src/app.ts", "src/htmx.ts"}

// plain files are copied under hashed names as they are.
var plain = []string{"icons.svg", "favicon.svg"}

// build replaces root/dist, or leaves it as it is when something fails.
func build(root string) error {
	src, dist, made := filepath.Join(root, "src"), filepath.Join(root, "dist"), filepath.Join(root, "dist.new")
	if err := os.RemoveAll(made); err != nil {
		return err
	}
	if err := fill(root, src, made); err != nil {
		return errors.Join(err, os.RemoveAll(made))
	}
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	return os.Rename(made, dist)
}

func fill(root, src, dist string) error {
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	manifest := map[string]string{}
	if err := bundle(root, dist, manifest); err != nil {
		return err
	}
	for _, name := range plain {
		if err := copyHashed(src, dist, name, manifest); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dist, "manifest.json"), append(b, '\n'), 0o644)
}

func bundle(root, dist string, manifest map[string]string) error {
	abs, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	var paths []string
	for _, e := range entries {
		paths = append(paths, filepath.Join(abs, e))
	}
	r := api.Build(api.BuildOptions{
		AbsWorkingDir: abs, EntryPoints: paths, Outdir: filepath.Join(abs, filepath.Base(dist)), Outbase: filepath.Join(abs, "src"),
		EntryNames: "[name]-[hash]", ChunkNames: "[name]-[hash]", AssetNames: "[name]-[hash]",
		Bundle: true, Splitting: true, Format: api.FormatESModule, Platform: api.PlatformBrowser,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true, LegalComments: api.LegalCommentsNone,
		Engines:  []api.Engine{{Name: api.EngineChrome, Version: "120"}, {Name: api.EngineFirefox, Version: "121"}, {Name: api.EngineSafari, Version: "17"}},
		Tsconfig: filepath.Join(abs, "src/tsconfig.json"), Metafile: true, Write: true, LogLevel: api.LogLevelWarning,
	})
	if len(r.Errors) > 0 {
		return errors.New("esbuild reported errors")
	}
	return entryNames(r.Metafile, manifest)
}

// entryNames reads from esbuild's metafile which output each entry point, also of an island, became.
func entryNames(metafile string, manifest map[string]string) error {
	var meta struct {
		Outputs map[string]struct {
			EntryPoint string
		}
	}
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return err
	}
	for out, o := range meta.Outputs {
		name, ok := strings.CutPrefix(o.EntryPoint, "src/")
		if !ok {
			continue
		}
		manifest[strings.Replace(name, ".ts", ".js", 1)] = filepath.Base(out)
	}
	if len(manifest) == 0 {
		return fmt.Errorf("no entry point in the metafile")
	}
	return nil
}

func copyHashed(src, dist, name string, manifest map[string]string) error {
	b, err := os.ReadFile(filepath.Join(src, name))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	ext := filepath.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "-" + base32.StdEncoding.EncodeToString(sum[:5]) + ext
	manifest[name] = hashed
	return os.WriteFile(filepath.Join(dist, hashed), b, 0o644)
}
