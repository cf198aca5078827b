package executor

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"kiln/lambda"
)

// fakeRunner answers what answer says; nil echoes the event.
type fakeRunner struct {
	answer  func(ctx context.Context, a Assignment) (Outcome, error)
	mu      sync.Mutex
	running map[lambda.Digest]int
	most    int // highest number of runs at once
	ran     []Assignment
	drained chan func(lambda.Digest) bool
	closed  bool
}

func newFakeRunner(answer func(context.Context, Assignment) (Outcome, error)) *fakeRunner {
	return &fakeRunner{answer: answer, running: map[lambda.Digest]int{}, drained: make(chan func(lambda.Digest) bool, 100)}
}

func (f *fakeRunner) Run(ctx context.Context, a Assignment) (Outcome, error) {
	f.mu.Lock()
	f.running[a.Digest]++
	n := 0
	for _, r := range f.running {
		n += r
	}
	f.most = max(f.most, n)
	f.ran = append(f.ran, a)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running[a.Digest]--
		f.mu.Unlock()
	}()
	if f.answer != nil {
		return f.answer(ctx, a)
	}
	return ok(a), nil
}

func ok(a Assignment) Outcome {
	return Outcome{Payload: a.Event, Report: lambda.Report{Status: lambda.StatusOK, StartedAt: time.Now(), Duration: time.Millisecond}}
}

func failed(what string) Outcome {
	return Outcome{Payload: []byte(`{"errorType":"Error","errorMessage":"` + what + `"}`), FunctionError: "Unhandled",
		Report: lambda.Report{Status: lambda.StatusError, ErrorType: "Error", ErrorMessage: what, StartedAt: time.Now()}}
}

func (f *fakeRunner) Capacity() Capacity { return Capacity{} }

func (f *fakeRunner) Running(d lambda.Digest) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running[d]
}

func (f *fakeRunner) Drain(keep func(lambda.Digest) bool) { f.drained <- keep }

func (f *fakeRunner) Close(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// highest is the highest number of runs at once.
func (f *fakeRunner) highest() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

func (f *fakeRunner) assignments() []Assignment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Assignment(nil), f.ran...)
}

// fakeSource holds functions by name and qualifier.
type fakeSource struct {
	mu      sync.Mutex
	targets map[string]*lambda.Target // "name" or "name:qualifier"
	digests map[lambda.Digest]*lambda.Runnable
	reach   map[string]map[lambda.Digest]bool
	asked   int
}

func newFakeSource() *fakeSource {
	return &fakeSource{targets: map[string]*lambda.Target{}, digests: map[lambda.Digest]*lambda.Runnable{}, reach: map[string]map[lambda.Digest]bool{}}
}

// put makes $LATEST of a function; id also names its digest.
func (s *fakeSource) put(id int64, name string, reserved *int) *lambda.Runnable {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := runnable(id, name, lambda.Latest, fmt.Sprintf("d%d", id), reserved)
	s.targets[name] = &lambda.Target{Runnable: r}
	s.targets[name+":$LATEST"] = s.targets[name]
	s.digests[r.Digest] = r
	s.reach[name] = map[lambda.Digest]bool{r.Digest: true}
	return r
}

func runnable(id int64, name, version, digest string, reserved *int) *lambda.Runnable {
	return &lambda.Runnable{
		Digest: lambda.Digest(digest), FunctionID: id, Function: name, ARN: "arn:aws:lambda:us-east-1:000000000000:function:" + name,
		Version: version, Reserved: reserved, Config: lambda.Config{TimeoutSec: 3, MemoryMB: 128},
	}
}

func (s *fakeSource) Target(_ context.Context, name, qualifier string) (*lambda.Target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	key := name
	if qualifier != "" {
		key += ":" + qualifier
	}
	if t := s.targets[key]; t != nil {
		c := *t
		return &c, nil
	}
	return nil, lambda.E(lambda.NotFound, "function.missing", "name", name)
}

func (s *fakeSource) Runnable(_ context.Context, d lambda.Digest) (*lambda.Runnable, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.digests[d]; r != nil {
		return r, nil
	}
	return nil, lambda.E(lambda.NotFound, "digest.missing")
}

func (s *fakeSource) Reachable(_ context.Context, name string) (map[lambda.Digest]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.targets[name] == nil {
		return nil, lambda.E(lambda.NotFound, "function.missing", "name", name)
	}
	return maps.Clone(s.reach[name]), nil
}

// recorded keeps runs.
type recorded struct {
	mu   sync.Mutex
	runs []lambda.Run
}

func (r *recorded) Record(run lambda.Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs = append(r.runs, run)
}

func (r *recorded) all() []lambda.Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]lambda.Run(nil), r.runs...)
}

func (r *recorded) count(s lambda.Status) int {
	n := 0
	for _, run := range r.all() {
		if run.Report.Status == s {
			n++
		}
	}
	return n
}
