package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestStagesEndInReverseOrder(t *testing.T) {
	var mu sync.Mutex
	var order []string
	part := func(name string) stage {
		return stage{name, func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return nil
		}}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := runStages(ctx, []stage{part("store"), part("engine"), part("server")}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"server", "engine", "store"}; !slices.Equal(order, want) {
		t.Errorf("ended in the order %v, want %v", order, want)
	}
}

func TestAFailingStageEndsTheOthers(t *testing.T) {
	stopped := false
	err := runStages(context.Background(), []stage{
		{"store", func(ctx context.Context) error { <-ctx.Done(); stopped = true; return ctx.Err() }},
		{"server", func(context.Context) error { return errors.New("the port is in use") }},
	})
	if err == nil || !strings.Contains(err.Error(), "server: the port is in use") || strings.Contains(err.Error(), "store") || !stopped {
		t.Errorf("got %v, store stopped: %v", err, stopped)
	}
}
