package executortest_test

import (
	"context"
	"errors"
	"testing"

	"kiln/executor"
	"kiln/executor/executortest"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

func TestFakeRunnerKeepsTheContract(t *testing.T) {
	executortest.TestRunner(t, func(t *testing.T) *executortest.Subject {
		gate := executortest.NewGate()
		behaviours := map[lambda.Digest]string{}
		f := &executortest.FakeRunner{Bound: 200}
		f.Handle = func(ctx context.Context, a executor.Assignment) (executor.Outcome, error) {
			p, err := gate.Behave(ctx, behaviours[a.Digest], a.Event)
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return executor.Outcome{FunctionError: "Unhandled", Payload: []byte(`{"errorMessage":"no"}`)}, nil
			}
			return executor.Outcome{Payload: p}, nil
		}
		return &executortest.Subject{Runner: f, Wait: gate, Bound: 200, Deploy: func(behaviour, name string) lambda.Digest {
			d := lambda.Digest(behaviour + name)
			behaviours[d] = behaviour
			return d
		}}
	})
}

func TestProcessesKeepTheDriversContract(t *testing.T) {
	set := runtimes.Discover(t.Context(), t.TempDir())
	rt, _, err := set.Resolve("python3.11")
	if err != nil {
		t.Skip(err)
	}
	executortest.TestDriver(t, func(t *testing.T) *executortest.DriverBed {
		boots := t.TempDir()
		if err := runtimes.WriteBootstraps(boots); err != nil {
			t.Fatal(err)
		}
		p := executortest.NewProvider(t, "")
		return &executortest.DriverBed{Driver: &executortest.Processes{Code: p.Dir, Boots: boots, Runtimes: set}, Runtime: rt.Name,
			Package: func(files map[string]string) string { return p.Package(t, files) }}
	})
}
