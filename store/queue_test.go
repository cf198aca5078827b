package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"kiln/lambda"
	"kiln/store"
	"kiln/store/storetest"

	"github.com/google/uuid"
)

func event(function int64, body string) *lambda.Invocation {
	return &lambda.Invocation{RequestID: uuid.NewString(), FunctionID: function, Function: "f", Async: true, Source: lambda.SourceAPI, By: "Kim",
		Event: []byte(body), AcceptedAt: time.Now()}
}

func enqueue(t testing.TB, s *store.Store, all ...*lambda.Invocation) {
	t.Helper()
	for _, inv := range all {
		if err := s.Enqueue(ctx, inv); err != nil {
			t.Fatal(err)
		}
	}
}

func claim(t testing.TB, s *store.Store, node string, slots map[int64]int, lease time.Duration) []lambda.Claimed {
	t.Helper()
	all, err := s.Claim(ctx, node, slots, lease)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func settle(t testing.TB, s *store.Store, all ...lambda.Settlement) (lost int) {
	t.Helper()
	lost, err := s.Settle(ctx, all)
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

func TestEventsAreClaimedOldestFirstWithinSlots(t *testing.T) {
	s := storetest.New(t)
	var want []string
	for i := range 5 {
		inv := event(1, fmt.Sprintf(`{"n":%d}`, i))
		enqueue(t, s, inv)
		want = append(want, inv.RequestID)
	}
	enqueue(t, s, event(2, `{}`))
	due, next, err := s.DueFunctions(ctx, 10)
	if err != nil || len(due) != 2 || due[1] != 5 || due[2] != 1 || !next.IsZero() {
		t.Fatal(due, next, err)
	}
	if first, _, _ := s.DueFunctions(ctx, 1); len(first) != 1 || first[1] != 5 {
		t.Errorf("the longest waiting function is not first: %v", first)
	}
	got := claim(t, s, "a", map[int64]int{1: 3, 3: 1, 2: 0}, time.Minute)
	if len(got) != 3 {
		t.Fatalf("%d events for 3 slots", len(got))
	}
	for i, c := range got {
		if c.Invocation.RequestID != want[i] || c.Claim != 1 || !c.Invocation.Async || string(c.Invocation.Event) != fmt.Sprintf(`{"n":%d}`, i) {
			t.Errorf("event %d: %+v", i, c)
		}
	}
	q, err := s.QueueState(ctx, 1)
	if err != nil || q.Waiting != 2 || q.Running != 3 || q.Delayed != 0 {
		t.Errorf("%+v, %v", q, err)
	}
	if rest := claim(t, s, "b", map[int64]int{1: 10, 2: 10}, time.Minute); len(rest) != 3 {
		t.Errorf("%d events are left", len(rest))
	}
	if err := s.ReleaseLeases(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if again := claim(t, s, "c", map[int64]int{1: 10}, time.Minute); len(again) != 3 || again[0].Claim != 2 {
		t.Errorf("after a release: %+v", again)
	}
}

func TestSettlementsEndDelayAndKeepEvents(t *testing.T) {
	s := storetest.New(t)
	f := create(t, s, "orders")
	for range 5 {
		enqueue(t, s, event(f.ID, `{"a":1}`))
	}
	c := claim(t, s, "a", map[int64]int{f.ID: 5}, time.Minute)
	next := event(f.ID, `{"destination":true}`)
	failed := lambda.Report{RequestID: c[3].Invocation.RequestID, ErrorType: "TypeError", ErrorMessage: "x\x00y"}
	later := time.Now().Add(time.Hour)
	lost := settle(t, s,
		lambda.Settlement{ID: c[0].ID, Claim: c[0].Claim, Done: true, Next: next},
		lambda.Settlement{ID: c[1].ID, Claim: c[1].Claim, RetryAt: later},
		lambda.Settlement{ID: c[2].ID, Claim: c[2].Claim, RetryAt: later.Add(time.Hour), Throttled: true},
		lambda.Settlement{ID: c[3].ID, Claim: c[3].Claim, Dead: "retries", Target: "arn:aws:sqs:us-east-1:000000000000:q", Report: failed, Response: []byte(`{"e":1}`)},
		lambda.Settlement{ID: c[4].ID, Claim: c[4].Claim, Done: true, Target: "arn:aws:sqs:us-east-1:000000000000:ok"},
		lambda.Settlement{ID: c[0].ID, Claim: c[0].Claim - 1, Done: true, Next: event(f.ID, `{"never":1}`)},
	)
	if lost != 1 {
		t.Errorf("%d lost", lost)
	}
	_, when, err := s.DueFunctions(ctx, 10)
	if err != nil || when.Sub(later).Abs() > time.Second {
		t.Errorf("next is %v, not %v: %v", when, later, err)
	}
	q, err := s.QueueState(ctx, f.ID)
	if err != nil || q.Waiting != 1 || q.Running != 0 || q.Delayed != 2 || q.Dead != 1 || q.OldestAge <= 0 {
		t.Errorf("%+v, %v", q, err)
	}
	got := claim(t, s, "a", map[int64]int{f.ID: 9}, time.Minute)
	if len(got) != 1 || got[0].Invocation.RequestID != next.RequestID {
		t.Fatalf("the destination's event: %+v", got)
	}
	dead, err := s.DeadLetters(ctx, f.ID, 0, 10)
	if err != nil || len(dead) != 2 {
		t.Fatalf("%+v, %v", dead, err)
	}
	d := dead[1]
	if d.Reason != "retries" || d.Attempts != 1 || d.ErrorType != "TypeError" || string(d.Invocation.Event) != `{"a":1}` || dead[0].Reason != "success" {
		t.Errorf("%+v", dead)
	}
	if of, err := s.DeadLettersOf(ctx, d.Target, 0, 10); err != nil || len(of) != 1 {
		t.Error(of, err)
	}
	if n, err := s.Redrive(ctx, kim, "orders", []int64{d.ID, dead[0].ID}); n != 1 || err != nil {
		t.Error(n, err)
	}
	again := claim(t, s, "a", map[int64]int{f.ID: 9}, time.Minute)
	if len(again) != 1 || again[0].Invocation.ReplayOf != d.Invocation.RequestID || again[0].Invocation.Attempt != 0 {
		t.Errorf("redriven: %+v", again)
	}
}

func TestDeadNodesEventsAreClaimedAgainAndFenced(t *testing.T) {
	s := storetest.New(t)
	enqueue(t, s, event(1, `{}`))
	dead := claim(t, s, "dead", map[int64]int{1: 1}, time.Microsecond) // a lease that has ended when it is looked at
	due, _, err := s.DueFunctions(ctx, 10)
	if err != nil || due[1] != 1 {
		t.Fatal(due, err)
	}
	alive := claim(t, s, "alive", map[int64]int{1: 1}, time.Minute)
	if len(alive) != 1 || alive[0].Claim != dead[0].Claim+1 || alive[0].Invocation.Attempt != 0 {
		t.Fatalf("%+v", alive)
	}
	if lost := settle(t, s, lambda.Settlement{ID: dead[0].ID, Claim: dead[0].Claim, Done: true}); lost != 1 {
		t.Error("a fenced settlement was taken")
	}
	if err := s.ExtendLease(ctx, "alive", []int64{alive[0].ID}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if lost := settle(t, s, lambda.Settlement{ID: alive[0].ID, Claim: alive[0].Claim, Done: true}); lost != 0 {
		t.Error("the living node's settlement was lost")
	}
}

func TestParallelClaimsNeverShareAnEvent(t *testing.T) {
	s := storetest.New(t)
	const events = 300
	var wg sync.WaitGroup
	for range events {
		wg.Go(func() { enqueue(t, s, event(1, `{}`)) })
	}
	wg.Wait()
	var mu sync.Mutex
	seen := map[int64]bool{}
	for node := range 4 {
		wg.Go(func() {
			for {
				all, err := s.Claim(ctx, fmt.Sprint(node), map[int64]int{1: 7}, time.Minute)
				if err != nil {
					t.Error(err)
				}
				if len(all) == 0 {
					return
				}
				mu.Lock()
				for _, c := range all {
					if seen[c.ID] {
						t.Errorf("event %d was claimed twice", c.ID)
					}
					seen[c.ID] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != events {
		t.Errorf("%d of %d events were claimed", len(seen), events)
	}
}

func TestBadEventsDoNotSpoilTheBatch(t *testing.T) {
	s := storetest.New(t)
	bad := event(1, `{}`)
	bad.RequestID = "no uuid"
	wantKey(t, s.Enqueue(ctx, bad), lambda.Invalid, "event.request")
	big := event(1, "")
	big.Event = make([]byte, lambda.MaxAsyncEvent+1)
	wantKey(t, s.Enqueue(ctx, big), lambda.TooLarge, "event.size")
	odd := event(1, `{}`)
	odd.By, odd.ClientContext = "a\x00b", "\xff"
	enqueue(t, s, odd)
}

func TestClosingWritesWhatWasHandedOver(t *testing.T) {
	url := storetest.Database(t)
	s := storetest.Open(t, url)
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	for range 100 {
		wg.Go(func() { errs <- s.Enqueue(ctx, event(1, `{}`)) })
	}
	s.Close()
	wg.Wait()
	accepted := int64(0)
	for range 100 {
		if <-errs == nil {
			accepted++
		}
	}
	q, err := storetest.Open(t, url).QueueState(ctx, 0)
	if err != nil || q.Waiting != accepted {
		t.Errorf("%d accepted, %+v, %v", accepted, q, err)
	}
}
