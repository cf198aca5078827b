package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// control is the socket in the data folder by which the commands reach the running server. Only who may write the data folder
// can open it, so it needs no sign-in.
type control struct {
	path string
	mux  *http.ServeMux
}

func newControl(data string) *control {
	return &control{path: controlPath(data), mux: http.NewServeMux()}
}

func controlPath(data string) string { return filepath.Join(data, "control.sock") }

// handle answers a command; f streams its answer to w. An error before the first byte becomes the answer's message.
func (c *control) handle(command string, f func(r *http.Request, w io.Writer) error) {
	c.mux.HandleFunc("POST /"+command, func(w http.ResponseWriter, r *http.Request) {
		fw := &firstWrite{ResponseWriter: w}
		if err := f(r, fw); err != nil {
			if fw.wrote {
				slog.Error("a command's answer broke off", "command", command, "err", err)
				panic(http.ErrAbortHandler) // the reader must not take half an answer for a whole one
			}
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(err.Error())
		}
	})
}

type firstWrite struct {
	http.ResponseWriter
	wrote bool
}

func (w *firstWrite) Write(b []byte) (int, error) {
	w.wrote = true
	n, err := w.ResponseWriter.Write(b)
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	return n, err
}

// Run serves until ctx ends.
func (c *control) Run(ctx context.Context) error {
	if err := os.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old control socket: %w", err)
	}
	l, err := net.Listen("unix", c.path)
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(c.path, 0o600); err != nil {
		return fmt.Errorf("protect the control socket: %w", err)
	}
	srv := &http.Server{Handler: c.mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(late)
	})
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return nil
}

var errNotRunning = errors.New("no server runs on this data folder; start one with: kiln serve")

// askServer sends a command to the running server and copies its answer to out.
func askServer(ctx context.Context, data, command string, args any, out io.Writer) error {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", controlPath(data))
	}}}
	body, w := io.Pipe()
	go func() { w.CloseWithError(json.NewEncoder(w).Encode(args)) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://kiln/"+command, body)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("the data folder %s belongs to another user: run this as root or as the user that runs Kiln", data)
	}
	if err != nil {
		return errNotRunning
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var message string
		if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&message); err != nil {
			return fmt.Errorf("the server answered %s", res.Status)
		}
		return errors.New(message)
	}
	if _, err := io.Copy(out, res.Body); err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	return nil
}
