package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kiln/code"
	"kiln/executor"
	"kiln/executor/process"
	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/secret"
	"kiln/server/console"
	"kiln/server/lambdaapi"
	"kiln/store"
	"kiln/store/postgres"
	"kiln/telemetry"
)

// serve is `kiln serve`. As root it only supervises: the spawner stays root, the server and its Postgres become an unprivileged user.
func serve(ctx context.Context, args []string) error {
	c, _, err := settingsOf("serve", "serve [flags]", args, 0)
	if err != nil {
		return err
	}
	log := newLogger(c.LogLevel)
	slog.SetDefault(log)
	if process.NeedsParent() {
		code, err := process.Supervise(process.Supervision{Args: append([]string{"serve", "-data", c.Data}, args...), Data: c.Data, Log: log})
		if err != nil {
			return err
		}
		os.Exit(code)
	}
	return runServer(ctx, c, log)
}

// house is the running server: every room, in the order in which it is opened.
type house struct {
	config   config
	log      *slog.Logger
	metrics  *prometheus.Registry
	lock     *os.File
	listener net.Listener // console and signed API
	gateway  net.Listener
	database *postgres.Server // nil with DATABASE_URL
	keys     *secret.Ring
	store    *store.Store
	hub      *telemetry.Hub
	pipeline *telemetry.Pipeline
	runtimes *runtimes.Set
	driver   *process.Driver
	cache    *code.Cache
	runner   *runner.Runner
	engine   *executor.Engine
	ahead    *unpacker
	api      *lambdaapi.API
	pages    *console.Console
	access   access
	stages   []stage // in the order of their start
}

const (
	// heapGrowth: Kiln's live heap is a few MB and a request makes 8 KB of garbage, so at Go's 100 % it collects dozens of times a second.
	heapGrowth = 400
	heapSoft   = 2 << 30 // above it the collector works as hard as at first: large bodies in flight are bounded well below
)

// tuneMemory trades some tens of MB for fewer collections, unless whoever runs Kiln has decided with Go's own variables.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapSoft)
	}
}

func runServer(ctx context.Context, c config, log *slog.Logger) (err error) {
	tuneMemory()
	h := &house{config: c, log: log, metrics: prometheus.NewRegistry()}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	for _, open := range []func(context.Context) error{h.openFolder, h.openListeners, h.openDatabase, h.openStore, h.openTelemetry, h.openExecutor, h.openServers} {
		if err := open(ctx); err != nil {
			return err
		}
	}
	if err := h.firstStart(ctx); err != nil {
		return err
	}
	h.stages = append(h.stages, stage{"ready", h.announce})
	return runStages(ctx, h.stages)
}

// openFolder makes the data folder and takes its lock: a second server on the same data ends here with one sentence.
func (h *house) openFolder(context.Context) error {
	if err := os.MkdirAll(h.config.Data, 0o755); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(h.config.Data, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("open the data folder's lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("another Kiln runs on %s; stop it, or start this one with another -data", h.config.Data)
	}
	h.lock = f
	return nil
}

// openListeners comes before everything slow: a port that is in use is said at once.
func (h *house) openListeners(ctx context.Context) (err error) {
	if h.listener, err = listen(ctx, "KILN_LISTEN", h.config.Listen); err != nil {
		return err
	}
	h.gateway, err = listen(ctx, "KILN_GATEWAY_LISTEN", h.config.GatewayListen)
	return err
}

func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the address %s is in use by another program; stop it, or choose another with %s", address, setting)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("this user may not listen on %s; choose a port above 1023 with %s", address, setting)
	case err != nil:
		return nil, fmt.Errorf("listen on %s (%s): %w", address, setting, err)
	}
	return l, nil
}

// openDatabase starts the private Postgres when no DATABASE_URL is given. Its life is longer than every stage's.
func (h *house) openDatabase(ctx context.Context) (err error) {
	if h.config.DatabaseURL != "" {
		return nil
	}
	h.database, err = postgres.Start(ctx, postgres.Options{Dir: filepath.Join(h.config.Data, "postgres"), Log: h.log,
		Progress: func(step string) { fmt.Fprintln(os.Stderr, "kiln: "+step) }})
	return err
}

func (h *house) databaseURL() string {
	if h.database != nil {
		return h.database.URL()
	}
	return h.config.DatabaseURL
}

func (h *house) openStore(ctx context.Context) (err error) {
	if h.keys, err = openKeys(h.config); err != nil {
		return err
	}
	h.store, err = store.Open(ctx, store.Options{URL: h.databaseURL(), Keys: h.keys, Region: h.config.Region, AccountID: h.config.AccountID, Log: h.log})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	h.stages = append(h.stages, stage{"retention", h.retain})
	return nil
}

// openKeys reads the master key, or makes one when it belongs to the data folder and nothing is there yet.
func openKeys(c config) (*secret.Ring, error) {
	if c.MasterKeyFile != "" {
		return secret.Load(c.MasterKeyFile)
	}
	ring, _, err := secret.LoadOrCreate(c.masterKeyPath())
	return ring, err
}

// retain makes and drops partitions and forgets keys that have ended, hourly.
func (h *house) retain(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := h.store.Retain(ctx, time.Now()); err != nil && ctx.Err() == nil {
			h.log.Error("retention", "err", err)
		}
		h.access.keys.Expire(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (h *house) openTelemetry(context.Context) (err error) {
	spool := filepath.Join(h.config.Data, "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return fmt.Errorf("make the spool folder: %w", err)
	}
	h.hub = telemetry.NewHub(telemetry.Limits{})
	h.pipeline, err = telemetry.New(telemetry.Options{Sink: h.store, Hub: h.hub, Epoch: h.store.Epoch(), Folder: spool, Log: h.log, Meter: h.metrics})
	if err != nil {
		return fmt.Errorf("open the log pipeline: %w", err)
	}
	h.stages = append(h.stages, stage{"telemetry", h.pipeline.Run})
	return nil
}

// close gives back what the stages used, after the last of them.
func (h *house) close(ctx context.Context) error {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var problems []error
	if h.driver != nil {
		problems = append(problems, h.driver.Close(late))
	}
	if h.store != nil {
		h.store.Close()
	}
	if h.database != nil {
		problems = append(problems, h.database.Stop(late))
	}
	for _, l := range []net.Listener{h.listener, h.gateway} {
		if l != nil {
			_ = l.Close() // closed already when its server ran
		}
	}
	if h.lock != nil {
		_ = h.lock.Close()
	}
	return errors.Join(problems...)
}

// consoleURL is the console's public address.
func (h *house) consoleURL() *url.URL {
	if h.config.ConsoleURL != "" {
		if u, err := url.Parse(strings.TrimSuffix(h.config.ConsoleURL, "/")); err == nil { // readConfig has parsed it
			return u
		}
	}
	return &url.URL{Scheme: h.scheme(), Host: reachable(h.listener.Addr())}
}

func (h *house) scheme() string {
	if h.config.TLSCert != "" {
		return "https"
	}
	return "http"
}

// gatewayURL is the gateway's own address.
func (h *house) gatewayURL() string { return h.scheme() + "://" + reachable(h.gateway.Addr()) }

// reachable turns a listener's address into one that a browser on this machine can open.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func (h *house) tls() (*tls.Config, error) {
	if h.config.TLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(h.config.TLSCert, h.config.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("read KILN_TLS_CERT and KILN_TLS_KEY: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// announce prints the one line that a person needs.
func (h *house) announce(ctx context.Context) error {
	link, err := h.loginLink(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "\nKiln is ready. Sign in once with this link (10 minutes):\n\n  %s\n\n", link)
	<-ctx.Done()
	return nil
}

// loginLink makes a one-time sign-in link for the owner.
func (h *house) loginLink(ctx context.Context) (string, error) {
	owner, err := h.store.FirstOwner(ctx)
	if err != nil {
		return "", fmt.Errorf("find the owner: %w", err)
	}
	token, err := h.store.NewLoginToken(ctx, owner.ID, 10*time.Minute)
	if err != nil {
		return "", fmt.Errorf("make a sign-in link: %w", err)
	}
	return h.consoleURL().String() + "/login?token=" + url.QueryEscape(token), nil
}

// serveGateway runs the gateway's listener.
func (h *house) serveGateway(handler http.Handler) func(context.Context) error {
	return func(ctx context.Context) error {
		config, err := h.tls()
		if err != nil {
			return err
		}
		l := h.gateway
		if config != nil {
			l = tls.NewListener(l, config)
		}
		srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
			ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug)}
		stopped := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(stopped)
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			if srv.Shutdown(late) != nil {
				_ = srv.Close() // what still runs after the grace is cut
			}
		})
		defer stop()
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		<-stopped
		return nil
	}
}
