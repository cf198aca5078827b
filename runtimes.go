package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"kiln/executor/runtimes"
	"kiln/lambda"
	"kiln/server/console"
)

func runtimesCommand(ctx context.Context, args []string) error {
	const synopsis = "runtimes list | runtimes install NAME"
	flags, plain := splitFlags(args)
	c, _, err := settingsOf("runtimes", synopsis, flags, 0)
	switch {
	case err != nil:
		return err
	case len(plain) == 1 && plain[0] == "list":
		for _, r := range runtimes.Discover(ctx, c.Data).All() {
			fmt.Printf("%-18s %-10s %s\n", r.Name, r.Version, r.Binary)
		}
		return nil
	case len(plain) == 2 && plain[0] == "install":
		return installRuntime(ctx, c, plain[1])
	}
	return fmt.Errorf("usage: kiln %s", synopsis)
}

// installRuntime lets the running server do it, which then offers the runtime at once; without one it works on the folder itself.
func installRuntime(ctx context.Context, c config, name string) error {
	err := askServer(ctx, c.Data, "install-runtime", name, os.Stdout)
	if !errors.Is(err, errNotRunning) {
		return err
	}
	return asServer(c, func() error {
		if err := os.MkdirAll(c.Data, 0o755); err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
		return installAndSay(ctx, runtimes.Discover(ctx, c.Data), c.NPMRegistry, name, os.Stdout)
	}, nil, "runtimes", "install", name, "-npm-registry", c.NPMRegistry)
}

func installAndSay(ctx context.Context, set *runtimes.Set, registry, name string, out io.Writer) error {
	r, err := set.Install(ctx, name, registry, percentOn(out, name))
	if lambda.KeyOf(err) == "runtime.notInstallable" {
		return fmt.Errorf("%s cannot be installed here; what can: %v", name, runtimes.Installable())
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	_, err = fmt.Fprintf(out, "%s is ready: %s\n", r.Name, r.Version)
	return err
}

// percentOn prints a line for every tenth of the way.
func percentOn(out io.Writer, name string) runtimes.Progress {
	last := int64(-1)
	return func(done, total int64) {
		if total <= 0 || done*10/total == last {
			return
		}
		last = done * 10 / total
		_, _ = fmt.Fprintf(out, "%s: %d %%\n", name, last*10) // who stopped reading still gets the runtime
	}
}

func (h *house) installCommand(r *http.Request, w io.Writer) error {
	var name string
	if err := json.NewDecoder(r.Body).Decode(&name); err != nil {
		return err
	}
	return installAndSay(r.Context(), h.runtimes, h.config.NPMRegistry, name, w)
}

// installNode fetches Node.js at the first start: functions of the tutorials need it, and Debian's own may be old.
func (h *house) installNode(ctx context.Context) error {
	installable := runtimes.Installable()
	if !slices.ContainsFunc(h.runtimes.All(), func(r runtimes.Runtime) bool { return r.Prefix != "" && slices.Contains(installable, r.Name) }) {
		for _, name := range []string{"nodejs22.x", "nodejs24.x"} {
			if _, err := h.runtimes.Install(ctx, name, h.config.NPMRegistry, nil); err != nil && ctx.Err() == nil {
				h.log.Warn("could not fetch a runtime; Settings › Runtimes can try again", "runtime", name, "err", err)
			}
		}
	}
	<-ctx.Done()
	return nil
}

// runtimeShelf is the machine's runtimes as the console sees them.
type runtimeShelf struct {
	set      *runtimes.Set
	registry string
}

// Ready lists what can run, newest of each family first.
func (s runtimeShelf) Ready() (all []console.Runtime) {
	for _, r := range s.set.All() {
		all = append(all, shown(r))
	}
	slices.Reverse(all)
	return all
}

func shown(r runtimes.Runtime) console.Runtime {
	return console.Runtime{Name: r.Name, Version: r.Version, Path: r.Binary}
}

// Resolve is the runtime that runs functions of this name.
func (s runtimeShelf) Resolve(name string) (console.Runtime, bool) {
	r, _, err := s.set.Resolve(name)
	return shown(r), err == nil
}

// Refresh looks again.
func (s runtimeShelf) Refresh(ctx context.Context) { s.set.Refresh(ctx) }

// CanInstall says whether Install knows the name.
func (s runtimeShelf) CanInstall(name string) bool {
	return slices.Contains(runtimes.Installable(), name)
}

// Install fetches a runtime into the data folder.
func (s runtimeShelf) Install(ctx context.Context, name string, progress func(done, total int64)) error {
	_, err := s.set.Install(ctx, name, s.registry, progress)
	return err
}
