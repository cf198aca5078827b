package store_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kiln/lambda"
	"kiln/store"
	"kiln/store/storetest"

	"github.com/jackc/pgx/v5"
)

// kill ends the database as a power cut would end its processes: what was not written to the file system is lost.
func kill(t *testing.T) {
	t.Helper()
	if pid := storetest.Server(t).PID(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be between two starts
	}
}

// eventually repeats f until it succeeds; a crash makes every call fail for a while.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// ledger knows what became of every accepted event.
type ledger struct {
	mu        sync.Mutex
	accepted  map[string]bool
	done      map[string]bool // settled as done, acknowledged
	attempted map[string]bool // settled as done, perhaps
}

func (l *ledger) note(m map[string]bool, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m[id] = true
}

func TestNoAcceptedEventIsLostWhenTheDatabaseIsKilled(t *testing.T) {
	url := storetest.Database(t)
	s := storetest.Open(t, url)
	l := &ledger{accepted: map[string]bool{}, done: map[string]bool{}, attempted: map[string]bool{}}
	working, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	progress := make(chan struct{}, 1)
	var count atomic.Int64
	for range 8 {
		wg.Go(func() {
			for working.Err() == nil {
				inv := event(rand.Int64N(3)+1, `{"n":1}`)
				if s.Enqueue(ctx, inv) == nil {
					l.note(l.accepted, inv.RequestID)
					if count.Add(1)%150 == 0 {
						select {
						case progress <- struct{}{}:
						default:
						}
					}
				}
			}
		})
	}
	for node := range 2 {
		wg.Go(func() {
			for working.Err() == nil {
				workQueue(s, l, node)
			}
		})
	}
	for range 4 {
		<-progress
		kill(t)
	}
	<-progress
	stop()
	wg.Wait()
	l.check(t, url)
}

// workQueue claims some events and ends them in every way that there is.
func workQueue(s *store.Store, l *ledger, node int) {
	claimed, err := s.Claim(ctx, string(rune('a'+node)), map[int64]int{1: 5, 2: 5, 3: 5}, time.Second)
	if err != nil {
		return
	}
	var all []lambda.Settlement
	var done []string
	for _, c := range claimed {
		x := lambda.Settlement{ID: c.ID, Claim: c.Claim}
		switch rand.IntN(4) {
		case 0:
			continue // this node forgets it: its lease ends
		case 1:
			x.RetryAt = time.Now()
		case 2:
			x.Dead = "retries"
		default:
			x.Done = true
			done = append(done, c.Invocation.RequestID)
			l.note(l.attempted, c.Invocation.RequestID)
		}
		all = append(all, x)
	}
	if lost, err := s.Settle(ctx, all); err == nil && lost == 0 {
		for _, id := range done {
			l.note(l.done, id)
		}
	}
}

// check finds every accepted event in exactly one place: done, waiting or dead.
func (l *ledger) check(t *testing.T, url string) {
	t.Helper()
	kept := map[string]int{}
	eventually(t, "read the queue", func() error {
		c, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close(ctx) }()
		rows, err := c.Query(ctx, "SELECT request_id::text FROM event_queue UNION ALL SELECT request_id::text FROM dead_letters")
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		clear(kept)
		for _, id := range ids {
			kept[id]++
		}
		return err
	})
	done := 0
	for id := range l.accepted {
		switch {
		case kept[id] > 1:
			t.Errorf("%s is there %d times", id, kept[id])
		case kept[id] == 1 && l.done[id]:
			t.Errorf("%s is done and came back", id)
		case kept[id] == 0 && !l.attempted[id]:
			t.Errorf("%s was accepted and is lost", id)
		case kept[id] == 0:
			done++
		}
	}
	t.Logf("%d accepted = %d done + %d waiting or dead", len(l.accepted), done, len(l.accepted)-done)
}

func TestLogLinesBehindTheWatermarkSurviveAKill(t *testing.T) {
	s := storetest.New(t)
	const batch, batches = 50, 60
	durable := 0 // batches that were behind the watermark before the kill
	positions := make([]uint64, 0, batches)
	for i := range batches {
		positions = append(positions, copyLogs(t, s, lines(1, 1+i*batch, batch, noon)))
		flushed, err := s.FlushedLSN(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for durable < len(positions) && positions[durable] <= flushed {
			durable++
		}
	}
	kill(t)
	_, noticed := s.FlushedLSN(ctx) // perhaps still answered by a process that did not see the death yet
	var kept []lambda.LogLine
	eventually(t, "read the lines", func() (err error) {
		kept, err = s.LogLines(ctx, lambda.LogQuery{FunctionID: 1, Limit: 10_000})
		return err
	})
	if len(kept) < durable*batch {
		t.Errorf("%d lines are there, %d were durable", len(kept), durable*batch)
	}
	if _, err := s.FlushedLSN(ctx); err == nil && noticed == nil {
		t.Error("a crash did not show in the watermark")
	}
	t.Logf("%d of %d batches were behind the watermark, %d lines of %d survived", durable, batches, len(kept), batch*batches)
	eventually(t, "repair", func() error { return s.RepairLogs(ctx, lines(1, 1, batch*batches, noon)) })
	if got := read(t, s, lambda.LogQuery{FunctionID: 1, Limit: 10_000}); len(got) != batch*batches || got[0].ID.Seq != 1 || got[len(got)-1].ID.Seq != batch*batches {
		t.Errorf("%d lines after the repair", len(got))
	}
	if _, err := s.CopyLogs(ctx, lines(1, 1+batch*batches, batch, noon)); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}

func TestClaimsStopWhileTheLockIsGoneAndGoOnAfterwards(t *testing.T) {
	url := storetest.Database(t)
	s := storetest.Open(t, url)
	enqueue(t, s, event(1, `{}`))
	end := func() error {
		c, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close(ctx) }()
		_, err = c.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
		return err
	}
	eventually(t, "end the lock's connection", end)
	eventually(t, "claim again", func() error {
		all, err := s.Claim(ctx, "a", map[int64]int{1: 1}, time.Minute)
		if err == nil && len(all) != 1 {
			t.Errorf("%d events", len(all))
		}
		return err
	})
	select {
	case <-s.Lost():
		t.Error("the lock is said to be lost for good")
	default:
	}
}

func TestAServerThatLostItsDatabaseToAnotherSaysSo(t *testing.T) {
	url := storetest.Database(t)
	s := storetest.Open(t, url)
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	// Another server waits for the lock and has it in the instant in which the first one's connection ends.
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Exec(ctx, "SELECT pg_advisory_lock($1)", 0x6b696c6e)
		waiting <- err
	}()
	eventually(t, "end the holder", func() error {
		if n := scalar[int64](t, url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"); n == 0 {
			return context.DeadlineExceeded
		}
		scalar[int64](t, url, "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
		return nil
	})
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	<-s.Lost()
	_, err = s.Claim(ctx, "a", map[int64]int{1: 1}, time.Minute)
	wantKey(t, err, lambda.Unavailable, "lock.lost")
}
