package executortest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kiln/executor/runner"
	"kiln/lambda"
)

// Provider is a runner.Provider over folders of files, and a runner.Sink that remembers. It is safe for concurrent use.
type Provider struct {
	Dir string // packages lie under Dir/<sha256>
	// AWS, when set, serves the AWS endpoint of workers.
	AWS func(l net.Listener, worker string, run *lambda.Runnable)

	mu      sync.Mutex
	changed *sync.Cond
	runs    map[lambda.Digest]*lambda.Runnable
	lines   []lambda.LogLine
	asked   int
}

// NewProvider makes an empty one under dir; "" means a folder of t's.
func NewProvider(t testing.TB, dir string) *Provider {
	if dir == "" {
		dir = t.TempDir()
	}
	p := &Provider{Dir: dir, runs: map[lambda.Digest]*lambda.Runnable{}}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// Deploy makes a function of files (path → text; a bootstrap is executable) and gives its digest. Missing parts of the configuration get defaults.
func (p *Provider) Deploy(t testing.TB, name string, c lambda.Config, files map[string]string) lambda.Digest {
	t.Helper()
	sum := p.Package(t, files)
	if c.Role == "" {
		c.Role = "arn:aws:iam::000000000000:role/kiln-default"
	}
	c = c.WithDefaults()
	p.mu.Lock()
	defer p.mu.Unlock()
	digest := lambda.Digest(fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s %s %s %d", name, sum, c.Runtime, len(p.runs)))))
	p.runs[digest] = &lambda.Runnable{Digest: digest, FunctionID: int64(len(p.runs) + 1), Function: name,
		ARN: lambda.ARNs{Region: "us-east-1", AccountID: "000000000000"}.Function(name, ""), Version: lambda.Latest, Config: c, Code: lambda.Code{SHA256: sum}}
	return digest
}

// Package writes files and gives their SHA-256.
func (p *Provider) Package(t testing.TB, files map[string]string) string {
	t.Helper()
	h := sha256.New()
	for _, path := range sortedKeys(files) {
		fmt.Fprintf(h, "%s\x00%s\x00", path, files[path])
	}
	sum := hex.EncodeToString(h.Sum(nil))
	for path, text := range files {
		to := filepath.Join(p.Dir, sum, filepath.FromSlash(path))
		mode := os.FileMode(0o644)
		if filepath.Base(path) == "bootstrap" || strings.HasSuffix(path, ".sh") {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return sum
}

// Change edits the runnable of a digest before its first run.
func (p *Provider) Change(d lambda.Digest, edit func(*lambda.Runnable)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	edit(p.runs[d])
}

// Revision keeps the contract of runner.Provider.
func (p *Provider) Revision(_ context.Context, d lambda.Digest) (*lambda.Runnable, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.runs[d]; r != nil {
		return r, nil
	}
	return nil, lambda.E(lambda.NotFound, "revision.missing")
}

// Tree finds the package unpacked already.
func (p *Provider) Tree(_ context.Context, sum string) error {
	if _, err := os.Stat(filepath.Join(p.Dir, sum)); err != nil {
		return fmt.Errorf("find the package: %w", err)
	}
	return nil
}

// Credentials are made up, other ones for every worker.
func (p *Provider) Credentials(_ context.Context, worker, _ string) (runner.Credentials, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	return runner.Credentials{AccessKeyID: fmt.Sprintf("ASIATEST%012d", p.asked), SecretAccessKey: "secret", SessionToken: "token of " + worker}, nil
}

// ServeAWS serves with the AWS function.
func (p *Provider) ServeAWS(l net.Listener, worker string, run *lambda.Runnable) {
	if p.AWS != nil {
		p.AWS(l, worker, run)
	}
}

// Lines keeps the contract of runner.Sink.
func (p *Provider) Lines(lines []lambda.LogLine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, lines...)
	p.changed.Broadcast()
}

// Said is every line so far of one run; "" for the lines between runs.
func (p *Provider) Said(requestID string) []lambda.LogLine {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []lambda.LogLine
	for _, l := range p.lines {
		if l.RequestID == requestID {
			list = append(list, l)
		}
	}
	return list
}

// WaitFor waits until a line satisfies found; it gives up after a minute.
func (p *Provider) WaitFor(t testing.TB, what string, found func(lambda.LogLine) bool) {
	t.Helper()
	overdue := time.Now().Add(time.Minute)
	stop := time.AfterFunc(time.Minute, p.changed.Broadcast)
	defer stop.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for from := 0; ; {
		for ; from < len(p.lines); from++ {
			if found(p.lines[from]) {
				return
			}
		}
		if time.Now().After(overdue) {
			t.Fatalf("no such line: %s", what)
		}
		p.changed.Wait()
	}
}
