package telemetry

import (
	"context"
	"sync"

	"kiln/lambda"
)

// chunk is what one publication added: items of one function.
type chunk[T any] struct {
	fn    int64
	all   uint64 // its place in the list of everything
	bytes int
	last  lambda.LogID // highest id in it, for the durable watermark
	items []T
}

// list is an append-only sequence of chunks. first is the number of chunks[0]; a nil chunk was dropped early.
type list[T any] struct {
	first  uint64
	chunks []*chunk[T]
	bytes  int
	wake   chan struct{} // closed at the next publication; nil while nobody waits
}

func (l *list[T]) end() uint64 { return l.first + uint64(len(l.chunks)) }

func (l *list[T]) push(c *chunk[T]) {
	l.chunks = append(l.chunks, c)
	l.bytes += c.bytes
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

func (l *list[T]) pop() *chunk[T] {
	c := l.chunks[0]
	l.chunks[0] = nil
	l.chunks = l.chunks[1:]
	l.first++
	if c != nil {
		l.bytes -= c.bytes
	}
	return c
}

// bounds are the sizes of a feed in bytes. Above soft only what is durable is dropped, above hard everything may be.
type bounds struct {
	softEach, hardEach, softAll, hardAll int
}

// feed holds one list per function and one of everything, over the same chunks. Readers are numbers into a list,
// so that a reader that stops reading keeps nothing in memory.
type feed[T any] struct {
	bounds
	mu      sync.Mutex
	each    map[int64]*list[T]
	all     list[T]
	durable lambda.LogID
}

func newFeed[T any](b bounds) *feed[T] {
	return &feed[T]{bounds: b, each: map[int64]*list[T]{}}
}

func (f *feed[T]) listOf(fn int64) *list[T] {
	if fn == 0 {
		return &f.all
	}
	l := f.each[fn]
	if l == nil {
		l = &list[T]{}
		f.each[fn] = l
	}
	return l
}

func (f *feed[T]) publish(c *chunk[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.all = f.all.end()
	l := f.listOf(c.fn)
	f.all.push(c)
	if l != &f.all {
		l.push(c)
		f.trim(l)
	}
	f.trimAll()
}

// mayDrop says whether c may go when a list holds `held` bytes.
func (f *feed[T]) mayDrop(c *chunk[T], held, soft, hard int) bool {
	return held > hard || held > soft && !f.durable.Less(c.last)
}

// trim drops the oldest of one function's list, out of the list of everything too.
func (f *feed[T]) trim(l *list[T]) {
	for len(l.chunks) > 1 && f.mayDrop(l.chunks[0], l.bytes, f.softEach, f.hardEach) {
		c := l.pop()
		f.all.chunks[c.all-f.all.first] = nil
		f.all.bytes -= c.bytes
	}
	f.dropGone()
}

func (f *feed[T]) dropGone() {
	for len(f.all.chunks) > 0 && f.all.chunks[0] == nil {
		f.all.pop()
	}
}

func (f *feed[T]) trimAll() {
	for len(f.all.chunks) > 1 && f.mayDrop(f.all.chunks[0], f.all.bytes, f.softAll, f.hardAll) {
		c := f.all.pop()
		if c.fn != 0 {
			f.each[c.fn].pop() // the oldest of everything is the oldest of its function
		}
		f.dropGone()
	}
}

// settle raises the durable watermark.
func (f *feed[T]) settle(id lambda.LogID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.durable.Less(id) {
		f.durable = id
	}
	f.trimAll()
}

func (f *feed[T]) held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all.bytes
}

// cursor is one reader of a feed.
type cursor[T any] struct {
	feed *feed[T]
	list *list[T]
	at   uint64
}

func (f *feed[T]) watch(fn int64, held bool) *cursor[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &cursor[T]{feed: f, list: f.listOf(fn)}
	if c.at = c.list.end(); held {
		c.at = c.list.first
	}
	return c
}

// rewind moves to the oldest chunk that is held.
func (c *cursor[T]) rewind() {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	c.at = c.list.first
}

const maxChunks = 512 // chunks that one step gathers

// take gathers what there is; wait is closed at the next publication when there was nothing.
func (c *cursor[T]) take() (got []*chunk[T], gap bool, wait <-chan struct{}) {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	l := c.list
	if c.at < l.first {
		c.at = l.first
		return nil, true, nil
	}
	rest := l.chunks[c.at-l.first:]
	if len(rest) == 0 {
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		return nil, false, l.wake
	}
	for _, k := range rest[:min(len(rest), maxChunks)] {
		c.at++
		if k == nil {
			return nil, true, nil // what was gathered is read again from history
		}
		got = append(got, k)
	}
	return got, false, nil
}

// next waits for chunks; ErrGap when some were dropped before they were read.
func (c *cursor[T]) next(ctx context.Context) ([]*chunk[T], error) {
	for {
		got, gap, wait := c.take()
		if gap {
			return nil, ErrGap
		}
		if got != nil {
			return got, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
