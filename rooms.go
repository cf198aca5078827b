package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kiln/code"
	"kiln/executor"
	"kiln/executor/process"
	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/iam"
	"kiln/lambda"
	"kiln/server"
	"kiln/server/console"
	"kiln/server/edge"
)

// openExecutor starts what runs functions: the driver over its spawner, the runner over the driver, the engine over the runner.
func (h *house) openExecutor(ctx context.Context) (err error) {
	h.driver, err = process.New(ctx, process.Options{Data: h.config.Data, MinRung: h.minRung(), Link: process.Inherited(), Log: h.log})
	if err != nil {
		return fmt.Errorf("start the sandbox: %w", err)
	}
	if err := h.driver.Reap(ctx); err != nil {
		h.log.Warn("clean up after the last start", "err", err)
	}
	if err := h.holdRung(ctx); err != nil {
		return err
	}
	h.runtimes = runtimes.Ask(ctx, h.config.Data, h.lookForRuntimes)
	h.cache, err = code.NewCache(code.CacheOptions{Root: filepath.Join(h.config.Data, "code"), Source: h.store, Compiler: &code.Compiler{}, Log: h.log,
		InUse: func() map[string]bool { return h.runner.CodeInUse() }})
	if err != nil {
		return fmt.Errorf("open the code folder: %w", err)
	}
	h.openAccess()
	p := &provider{store: h.store, cache: h.cache, issue: h.workerCredentials, revoke: h.access.keys.Revoke, worker: h.workerEndpoint, log: h.log}
	h.runner = runner.New(runner.Options{Driver: h.driver, Provider: p, Sink: h.pipeline, Runtimes: h.runtimes, Region: h.config.Region, Log: h.log, Warm: h.runtimesInUse(ctx)})
	h.engine = executor.New(executor.Options{Runner: h.runner, Source: h.store, Queue: h.store, Recorder: h.pipeline, Limits: h.limits,
		Gauge: h.pipeline.Gauge, Lost: h.store.Lost(), Log: h.log})
	h.ahead = newUnpacker(h.engine, h.cache.Tree, h.log)
	h.api = h.newAPI()
	h.stages = append(h.stages, stage{"runner", h.keepRunner}, stage{"test runs", h.keepTestRuns}, stage{"engine", h.engine.Run}, stage{"unpack", h.ahead.run})
	return nil
}

// limits are the account's concurrency, a setting, and what functions have reserved of it.
func (h *house) limits(ctx context.Context) (l executor.Limits, err error) {
	l.Account, l.Reserved, err = h.store.Concurrency(ctx)
	return l, err
}

// holdRung remembers the strongest rung that this data folder has seen. On a weaker one functions do not run until the owner confirms it.
func (h *house) holdRung(ctx context.Context) error {
	if h.config.Isolation != "auto" {
		return nil // the settings have decided
	}
	now := string(h.driver.Capabilities().Rung)
	var accepted string
	if err := h.store.Setting(ctx, "isolation", &accepted); err != nil {
		return fmt.Errorf("read the accepted sandbox rung: %w", err)
	}
	switch {
	case now == string(runner.RungD) || now == accepted:
	case accepted == "" || now < accepted:
		if err := h.store.SetSetting(ctx, iam.System, "isolation", now); err != nil {
			return fmt.Errorf("remember the sandbox rung: %w", err)
		}
	default:
		h.log.Warn("the sandbox is weaker than before: functions do not run until the owner accepts it", "rung", now, "before", accepted,
			"accept", "kiln admin accept-rung "+now)
		h.driver.AcceptRung(runner.Rung(accepted))
	}
	return nil
}

// lookForRuntimes asks the spawner: it sees what the server's user does not, and it is who starts them.
func (h *house) lookForRuntimes(ctx context.Context) []runtimes.Runtime {
	list, err := h.driver.Runtimes(ctx)
	if err != nil {
		h.log.Warn("look for runtimes", "err", err)
		return nil
	}
	return list
}

func (h *house) minRung() runner.Rung {
	if h.config.Isolation == "auto" {
		return runner.RungC
	}
	return runner.Rung(h.config.Isolation)
}

// keepRunner tends the workers, and ends them after the engine has stopped.
func (h *house) keepRunner(ctx context.Context) error {
	tended := h.runner.Tend(ctx)
	<-ctx.Done()
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return errors.Join(tended, h.runner.Close(late), h.cache.Close())
}

// keepTestRuns waits for runs whose page has gone; the engine has ended them by then.
func (h *house) keepTestRuns(ctx context.Context) error {
	<-ctx.Done()
	h.pages.Drain()
	return nil
}

// runtimesInUse are the runtimes of the functions that exist: the pool keeps those warm from the start.
func (h *house) runtimesInUse(ctx context.Context) (names []string) {
	seen := map[string]bool{}
	all, err := h.store.Functions(ctx, lambda.FunctionFilter{Limit: 1000})
	if err != nil {
		h.log.Warn("list functions for the pool", "err", err)
	}
	for _, f := range all {
		if !seen[f.Runtime] {
			seen[f.Runtime] = true
			names = append(names, f.Runtime)
		}
	}
	return names
}

// openServers makes the three surfaces: console, signed API, gateway.
func (h *house) openServers(context.Context) error {
	arns := h.store.ARNs()
	gate := &edge.Gate{Decider: h.access.authority, Audit: h.store, ARNs: arns, Log: h.log}
	sessions := server.NewSessions(h.store, arns, time.Now)
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	base, shelf := h.consoleURL(), runtimeShelf{h.runtimes, h.config.NPMRegistry}
	h.pages = console.New(console.Options{Store: h.store, Engine: engine{h.engine, h.ahead}, Runtimes: shelf, Install: shelf, Gate: gate, Sessions: sessions,
		Hub: h.hub, Pipeline: h.pipeline, ARNs: arns, Host: host, Endpoint: base.String(), Version: version, Log: h.log, Now: time.Now,
		Gateway: h.gatewayURL(), FunctionURL: h.functionURL, PoliciesChanged: h.access.authority.Forget})
	tlsConfig, err := h.tls()
	if err != nil {
		return err
	}
	s := server.New(server.Options{Listener: h.listener, TLS: tlsConfig, URL: base, TrustedProxies: h.config.trustedProxyNets, Console: h.pages, Sessions: sessions,
		Gate: gate, AWS: h.api, Metrics: promhttp.HandlerFor(h.metrics, promhttp.HandlerOpts{}), Health: h.health, Log: h.log, Now: time.Now})
	h.stages = append(h.stages,
		stage{"node", h.installNode},
		stage{"backups", h.backupNightly},
		stage{"commands", h.controlCommands().Run},
		stage{"gateway", h.serveGateway(h.newGateway())},
		stage{"console", func(ctx context.Context) error {
			defer h.pages.CloseSockets() // they are hijacked: the server does not know them any more
			return s.Run(ctx, 10*time.Second)
		}})
	return nil
}

// health is what /healthz and `kiln healthcheck` answer.
func (h *house) health(ctx context.Context) server.Health {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out := server.Health{Status: "ok", Database: "ok", Rung: string(h.driver.Capabilities().Rung), Version: version, Runtimes: []string{}}
	if err := h.store.Ping(ctx); err != nil {
		out.Status, out.Database = "degraded", "away"
	}
	if out.Rung == string(runner.RungD) {
		out.Status = "degraded"
	}
	for _, r := range h.runtimes.All() {
		out.Runtimes = append(out.Runtimes, strings.TrimSpace(r.Name+" "+r.Version))
	}
	return out
}

func (h *house) acceptRungCommand(r *http.Request, w io.Writer) error {
	var rung string
	if err := json.NewDecoder(r.Body).Decode(&rung); err != nil {
		return err
	}
	if rung != "A" && rung != "B" && rung != "C" {
		return fmt.Errorf("%q is not a rung that runs functions: A, B or C", rung)
	}
	if err := h.store.SetSetting(r.Context(), iam.System, "isolation", rung); err != nil {
		return err
	}
	h.driver.AcceptRung(runner.Rung(rung))
	_, err := fmt.Fprintf(w, "functions may run on rung %s and better\n", rung)
	return err
}
