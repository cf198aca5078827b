package executor

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"

	"kiln/lambda"
)

// target is a resolved name and qualifier. It never changes; Changed makes a new one.
type target struct {
	f             *function
	first, second *lambda.Runnable
	share         float64 // of calls that go to second
	alias         string
	invokedARN    string
	async         lambda.EventInvokeConfig
}

// targets is the cached configuration: no database work for a call whose function did not change.
type targets struct {
	mu        sync.RWMutex
	byName    map[string]map[string]*target
	functions map[int64]*function
	owner     map[lambda.Digest]string // every digest that may have workers → its function
	changed   map[string]bool          // functions whose unreachable digests have not been drained yet
	epoch     uint64                   // raised by forget: what was read before it is not kept
}

func (t *targets) init() {
	t.byName = map[string]map[string]*target{}
	t.functions = map[int64]*function{}
	t.owner = map[lambda.Digest]string{}
	t.changed = map[string]bool{}
}

func (t *targets) cached(name, key string) (*target, uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byName[name][key], t.epoch
}

// keep makes tg the answer for the name and key, unless something changed since epoch.
func (t *targets) keep(name, key string, tg *target, epoch uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owner[tg.first.Digest] = name
	if tg.second != nil {
		t.owner[tg.second.Digest] = name
	}
	if t.epoch != epoch {
		t.changed[name] = true // the digest may be unreachable already: look once more
		return
	}
	m := t.byName[name]
	if m == nil {
		m = map[string]*target{}
		t.byName[name] = m
	}
	m[key] = tg
}

// function is the one state of a function id.
func (t *targets) function(r *lambda.Runnable) *function {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.functions[r.FunctionID]
	if f == nil {
		f = &function{id: r.FunctionID, name: r.Function, lineage: lineageOf(r.ARN)}
		t.functions[r.FunctionID] = f
	}
	f.setReserved(r.Reserved)
	return f
}

func lineageOf(arn string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(arn))
	return fmt.Sprintf("%08x", h.Sum32())
}

func (t *targets) functionByID(id int64) *function {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.functions[id]
}

func (t *targets) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
	delete(t.byName, name)
	t.changed[name] = true
}

// resolve answers what a call of name and qualifier runs; digest, when set, pins a draft.
func (e *Engine) resolve(ctx context.Context, name, qualifier string, digest lambda.Digest) (*target, error) {
	key := qualifier
	if digest != "" {
		key = "#" + string(digest)
	}
	tg, epoch := e.targets.cached(name, key)
	if tg != nil {
		return tg, nil
	}
	tg, err := e.load(ctx, name, qualifier, digest)
	if err != nil {
		return nil, err
	}
	e.targets.keep(name, key, tg, epoch)
	return tg, nil
}

// Ahead looks up what a call without a qualifier runs, so that the next such call need not.
func (e *Engine) Ahead(ctx context.Context, name string) (*lambda.Runnable, error) {
	tg, err := e.resolve(ctx, name, "", "")
	if err != nil {
		return nil, err
	}
	return tg.first, nil
}

func (e *Engine) load(ctx context.Context, name, qualifier string, digest lambda.Digest) (*target, error) {
	if digest != "" {
		return e.loadDraft(ctx, name, digest)
	}
	found, err := e.o.Source.Target(ctx, name, qualifier)
	if err != nil {
		return nil, lookupError(err, name)
	}
	tg := &target{
		f: e.targets.function(found.Runnable), first: found.Runnable, second: found.Second, share: found.Share,
		alias: found.Alias, async: found.Async, invokedARN: found.Runnable.ARN,
	}
	if qualifier != "" {
		tg.invokedARN += ":" + qualifier
	}
	return tg, nil
}

func (e *Engine) loadDraft(ctx context.Context, name string, digest lambda.Digest) (*target, error) {
	r, err := e.o.Source.Runnable(ctx, digest)
	if err != nil {
		return nil, lookupError(err, name)
	}
	if r.Function != name { // a digest of somebody else's function
		return nil, lambda.E(lambda.NotFound, "digest.missing", "function", name)
	}
	return &target{f: e.targets.function(r), first: r, invokedARN: r.ARN}, nil
}

func lookupError(err error, name string) error {
	if _, ok := errors.AsType[*lambda.Error](err); ok {
		return err
	}
	return fmt.Errorf("looking up function %s: %w", name, err)
}

// Changed forgets the cached configuration of a function at once and has its unreachable digests drained soon.
// Call it after the change is committed.
func (e *Engine) Changed(name string) {
	e.targets.forget(name)
	signal(e.tidy)
	signal(e.wake)
}
