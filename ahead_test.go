package main

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"kiln/lambda"
)

type aheadEngine map[string]*lambda.Runnable

func (e aheadEngine) Ahead(_ context.Context, name string) (*lambda.Runnable, error) {
	if r := e[name]; r != nil {
		return r, nil
	}
	return nil, lambda.E(lambda.NotFound, "function.missing")
}

func TestPackagesOfChangedFunctionsAreUnpackedAhead(t *testing.T) {
	unpacked := make(chan string, 8)
	u := &unpacker{names: make(chan string, 2), log: slog.New(slog.DiscardHandler),
		engine: aheadEngine{"f": {Code: lambda.Code{SHA256: "code"}, LayerCode: []lambda.Code{{SHA256: "layer"}}}},
		tree:   func(_ context.Context, sha string) error { unpacked <- sha; return nil }}
	for _, name := range []string{"", "gone", "f", "too many"} { // none may block
		u.tell(name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- u.run(ctx) }()
	if got := []string{<-unpacked, <-unpacked}; !slices.Equal(got, []string{"code", "layer"}) {
		t.Errorf("unpacked %q", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
