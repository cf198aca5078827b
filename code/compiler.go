package code

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"github.com/evanw/esbuild/pkg/api"
)

// Compiler makes JavaScript of a package's TypeScript in a process of its own: the compiler is recursive, and source that is nested
// deeply enough (100 KB of "a=>") ends the process that it runs in.
type Compiler struct {
	// Argv starts a process that calls ServeCompiler; it gets no environment. Empty means this program with the argument "typescript".
	Argv []string
	// Limit ends a compilation; 0 means 30 s.
	Limit time.Duration
}

const (
	crashesAllowed = 3         // processes that one package may end
	compilerStack  = 64 << 20  // bytes
	compilerMemory = 1 << 30   // bytes, soft
	compilerOutput = 512 << 20 // bytes that are read at most
)

// compile answers one result for each script, in order.
func (c *Compiler) compile(ctx context.Context, scripts []script) ([]compiled, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Limit, 30*time.Second))
	defer cancel()
	out := make([]compiled, 0, len(scripts))
	for crashes := 0; len(out) < len(scripts); {
		if crashes == crashesAllowed {
			out = append(out, givenUp(scripts[len(out)]))
			continue
		}
		some, err := c.run(ctx, scripts[len(out):])
		out = append(out, some...)
		if err != nil && len(some) == 0 && !isCrash(err) && ctx.Err() == nil {
			return nil, fmt.Errorf("compiling TypeScript: %w", err)
		}
		if len(out) < len(scripts) {
			out = append(out, givenUp(scripts[len(out)]))
			crashes++
		}
		if ctx.Err() != nil {
			crashes = crashesAllowed
		}
	}
	return out, nil
}

func isCrash(err error) bool {
	_, ended := errors.AsType[*exec.ExitError](err)
	return ended
}

func givenUp(s script) compiled {
	return compiled{Mistakes: []Mistake{{Path: s.Path, Text: "this file cannot be compiled: it is too large or nested too deeply"}}}
}

// run compiles in one process, as far as it gets.
func (c *Compiler) run(ctx context.Context, scripts []script) ([]compiled, error) {
	cmd, err := c.command(ctx)
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process at the latest
		e := json.NewEncoder(in)
		for _, s := range scripts {
			if e.Encode(s) != nil {
				break
			}
		}
		_ = in.Close()
	}()
	out := make([]compiled, 0, len(scripts))
	d := json.NewDecoder(io.LimitReader(pipe, compilerOutput))
	for len(out) < len(scripts) {
		var r compiled
		if d.Decode(&r) != nil {
			break
		}
		out = append(out, r)
	}
	if len(out) < len(scripts) {
		_ = cmd.Process.Kill() // it may still be busy with one
	}
	return out, cmd.Wait()
}

func (c *Compiler) command(ctx context.Context) (*exec.Cmd, error) {
	argv := c.Argv
	if len(argv) == 0 {
		self, err := ownProgram()
		if err != nil {
			return nil, err
		}
		argv = []string{self, "typescript"}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{}
	cmd.WaitDelay = time.Second
	return cmd, nil
}

// ownProgram prefers the kernel's name for this program: its file may lie where the server's user cannot go, or have been replaced.
func ownProgram() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// ServeCompiler compiles the scripts that come in and answers each of them, until in ends. It is all that the compiler's process does.
func ServeCompiler(in io.Reader, out io.Writer) error {
	debug.SetMaxStack(compilerStack)
	debug.SetMemoryLimit(compilerMemory)
	d, w := json.NewDecoder(in), bufio.NewWriter(out)
	e := json.NewEncoder(w)
	for {
		var s script
		if err := d.Decode(&s); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := e.Encode(s.compile()); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}

// compile leaves a file whose package says nothing as CommonJS, which every Node.js loads with or without extensions in its imports;
// what only an ES module can have (await at the top, import.meta) makes it one, as Node.js's own detection does.
func (s script) compile() compiled {
	switch s.Format {
	case tooLargeFormat:
		return givenUp(s)
	case "esm":
		return s.as(api.FormatESModule).compiled(s.Path)
	case "cjs":
		return s.as(api.FormatCommonJS).compiled(s.Path)
	}
	common := s.as(api.FormatCommonJS)
	if !needsModule(common) {
		return common.compiled(s.Path)
	}
	return s.as(api.FormatESModule).compiled(s.Path)
}

type transformed struct{ api.TransformResult }

func (s script) as(format api.Format) transformed {
	return transformed{api.Transform(s.Source, api.TransformOptions{
		Loader: api.LoaderTS, Format: format, Platform: api.PlatformNode, Target: api.ES2022, Charset: api.CharsetUTF8,
		Sourcemap: api.SourceMapInline, Sourcefile: s.Path[strings.LastIndexByte(s.Path, '/')+1:], TsconfigRaw: s.Config, LogLevel: api.LogLevelSilent,
	})}
}

func needsModule(t transformed) bool {
	for _, m := range t.Errors {
		if strings.HasPrefix(m.Text, "Top-level await") {
			return true
		}
	}
	for _, m := range t.Warnings {
		if m.ID == "empty-import-meta" {
			return true
		}
	}
	return false
}

func (t transformed) compiled(name string) compiled {
	if len(t.Errors) == 0 {
		return compiled{Code: string(t.Code)}
	}
	var c compiled
	for _, m := range t.Errors {
		mistake := Mistake{Path: name, Text: m.Text}
		if l := m.Location; l != nil {
			mistake.Line, mistake.Column, mistake.Source = l.Line, l.Column+1, l.LineText[:min(len(l.LineText), 200)]
		}
		c.Mistakes = append(c.Mistakes, mistake)
	}
	return c
}
