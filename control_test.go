package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func startControl(t *testing.T, c *control) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(c.path); err == nil {
			return
		}
	}
	t.Fatal("the control socket did not open")
}

func TestCommandsReachTheRunningServer(t *testing.T) {
	data := t.TempDir()
	c := newControl(data)
	c.handle("echo", func(r *http.Request, w io.Writer) error {
		var s string
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			return err
		}
		_, err := io.WriteString(w, s)
		return err
	})
	c.handle("refuse", func(*http.Request, io.Writer) error { return errors.New("not today") })
	c.handle("break", func(_ *http.Request, w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return errors.New("the disk is full")
	})
	startControl(t, c)

	var out bytes.Buffer
	if err := askServer(t.Context(), data, "echo", "hello", &out); err != nil || out.String() != "hello" {
		t.Errorf("echo: %q, %v", out.String(), err)
	}
	if err := askServer(t.Context(), data, "refuse", nil, io.Discard); err == nil || err.Error() != "not today" {
		t.Errorf("refuse: %v", err)
	}
	if err := askServer(t.Context(), data, "break", nil, io.Discard); err == nil || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("half an answer passed for a whole one: %v", err)
	}
	if info, err := os.Stat(c.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is open to others: %v %v", info.Mode(), err)
	}
}

func TestCommandsSayThatNothingRuns(t *testing.T) {
	if err := askServer(t.Context(), t.TempDir(), "echo", nil, io.Discard); !errors.Is(err, errNotRunning) {
		t.Errorf("got %v", err)
	}
}
