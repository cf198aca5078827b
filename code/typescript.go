package code

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"
)

const (
	maxScript  = 4 << 20  // bytes of one TypeScript file
	maxScripts = 64 << 20 // bytes of all of a package
)

// Mistake is why one TypeScript file cannot be compiled. Line and Column count from 1; 0 means the whole file.
type Mistake struct {
	Path         string
	Line, Column int
	Text         string // English, from the compiler
	Source       string // the line, "" when unknown
}

// String is "path:line:column: text".
func (m Mistake) String() string {
	if m.Line == 0 {
		return m.Path + ": " + m.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.Path, m.Line, m.Column, m.Text)
}

// script is one TypeScript file to compile. Format is "esm", "cjs", or "" when the package does not say.
type script struct {
	Path, Source, Format, Config string
}

// compiled is what became of a script: code, or mistakes.
type compiled struct {
	Code     string
	Mistakes []Mistake
}

// Mistakes compiles a package's TypeScript and answers what is wrong with it, for a deploy.
// An error means that the compiler could not be run or the package not be read.
func (c *Compiler) Mistakes(ctx context.Context, zip []byte) ([]Mistake, error) {
	a, err := openBytes(zip)
	if err != nil {
		return nil, err
	}
	scripts, err := a.scripts()
	if err != nil || len(scripts) == 0 {
		return nil, err
	}
	results, err := c.compile(ctx, scripts)
	if err != nil {
		return nil, err
	}
	var out []Mistake
	for _, r := range results {
		out = append(out, r.Mistakes...)
	}
	return out, nil
}

// addScripts writes JavaScript next to every TypeScript file of a. A file that cannot be compiled becomes one that throws the mistake,
// so that it is told where the person looks: in the answer of the function.
func (c *Compiler) addScripts(ctx context.Context, a *archive, dir string) error {
	scripts, err := a.scripts()
	if err != nil || len(scripts) == 0 {
		return err
	}
	results, err := c.compile(ctx, scripts)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening an unpacked package: %w", err)
	}
	defer root.Close()
	for i, r := range results {
		text := a.rewriteImports(scripts[i].Path, r.Code)
		if len(r.Mistakes) > 0 {
			text = throwing(r.Mistakes[0])
		}
		if err := writeScript(root, scriptTarget(scripts[i].Path), text); err != nil {
			return err
		}
	}
	return nil
}

func writeScript(root *os.Root, name, text string) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("writing compiled TypeScript: %w", err)
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return fmt.Errorf("writing compiled TypeScript: %w", err)
	}
	if err := f.Chmod(0o644); err != nil {
		_ = f.Close()
		return fmt.Errorf("writing compiled TypeScript: %w", err)
	}
	return f.Close()
}

var scriptPattern = regexp.MustCompile(`\.([mc]?)ts$`)

// scriptTarget is the JavaScript file of a TypeScript file, "" for any other and for declarations.
func scriptTarget(name string) string {
	m := scriptPattern.FindStringSubmatch(name)
	if m == nil || strings.HasSuffix(strings.TrimSuffix(name, m[0]), ".d") {
		return ""
	}
	return strings.TrimSuffix(name, m[0]) + "." + m[1] + "js"
}

// scripts are the files to compile: not those of installed packages, and not those that have their JavaScript with them.
func (a *archive) scripts() ([]script, error) {
	var out []script
	kinds := moduleKinds{a: a, known: map[string]string{}}
	config := a.text("tsconfig.json")
	room := int64(maxScripts)
	for _, e := range a.sorted() {
		target := scriptTarget(e.path)
		if target == "" || !e.mode.IsRegular() || a.byPath[target] != nil || strings.Contains("/"+e.path, "/node_modules/") {
			continue
		}
		s := script{Path: e.path, Format: kinds.of(e.path), Config: config}
		if size := int64(e.file.UncompressedSize64); size <= maxScript && size <= room {
			data, err := e.data()
			if err != nil {
				return nil, err
			}
			s.Source, room = string(data), room-size
		} else {
			s.Format = tooLargeFormat
		}
		out = append(out, s)
	}
	return out, nil
}

// tooLargeFormat marks a script that is not given to the compiler.
const tooLargeFormat = "too large"

// text is a small text file of the package, or "".
func (a *archive) text(name string) string {
	e := a.byPath[name]
	if e == nil || !e.mode.IsRegular() || e.file.UncompressedSize64 > 1<<20 {
		return ""
	}
	data, err := e.data()
	if err != nil || !isText(data) {
		return ""
	}
	return string(data)
}

// moduleKinds tells ES modules from CommonJS as Node.js does: by the extension, else by "type" in the nearest package.json.
type moduleKinds struct {
	a     *archive
	known map[string]string // folder → "esm", "cjs" or ""
}

func (k *moduleKinds) of(name string) string {
	switch path.Ext(name) {
	case ".mts":
		return "esm"
	case ".cts":
		return "cjs"
	}
	return k.folder(path.Dir(name))
}

func (k *moduleKinds) folder(dir string) string {
	if kind, ok := k.known[dir]; ok {
		return kind
	}
	kind := ""
	if text := k.a.text(path.Join(dir, "package.json")); text != "" {
		var p struct{ Type string }
		if json.Unmarshal([]byte(text), &p) == nil {
			kind = map[string]string{"module": "esm", "commonjs": "cjs"}[p.Type]
		}
	} else if dir != "." {
		kind = k.folder(path.Dir(dir))
	}
	k.known[dir] = kind
	return kind
}

// importPattern finds relative TypeScript names where the compiler prints imports.
var importPattern = regexp.MustCompile(`((?:\bfrom |\bimport |\bimport\(|\brequire\()")(\.{1,2}/[^"\n]*\.[mc]?)ts"`)

// rewriteImports points imports of TypeScript files at the JavaScript that was compiled from them. Lengths stay, and so does the source map.
func (a *archive) rewriteImports(from, text string) string {
	return importPattern.ReplaceAllStringFunc(text, func(found string) string {
		m := importPattern.FindStringSubmatch(found)
		if e := a.byPath[path.Join(path.Dir(from), m[2]+"ts")]; e == nil || scriptTarget(e.path) == "" {
			return found
		}
		return m[1] + m[2] + `js"`
	})
}

// throwing is a module that throws the mistake with its place as the first frame, in the form in which Node.js shows syntax errors.
func throwing(m Mistake) string {
	where := fmt.Sprintf("/var/task/%s:%d:%d", m.Path, max(1, m.Line), max(1, m.Column))
	head := fmt.Sprintf("/var/task/%s:%d\n", m.Path, max(1, m.Line))
	if m.Source != "" {
		head += m.Source + "\n" + strings.Repeat(" ", max(0, m.Column-1)) + "^\n\n"
	}
	stack := head + "SyntaxError: " + m.Text + "\n    at " + where
	return "const error = new SyntaxError(" + quote(m.String()) + ");\nerror.stack = " + quote(stack) + ";\nthrow error;\n"
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // a string always marshals
		return `""`
	}
	return string(b)
}
