package executortest_test

import (
	"context"
	"errors"
	"testing"

	"kiln/executor"
	"kiln/executor/executortest"
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
