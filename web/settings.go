package web

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// SettingsPages are the parts of Settings in order.
var SettingsPages = []string{"runtimes", "account", "sessions", "audit"}

// RuntimesSettings is what this machine can run, and how safely.
type RuntimesSettings struct {
	Rung     string
	Reason   string // why functions do not run, in words; "" when they do
	Runtimes []RuntimeRow
	Capacity Machine
	Flash    string
}

// RuntimeRow is one runtime.
type RuntimeRow struct {
	Name, Version, Path string
	Ready               bool
	By                  string // what stands in for it
	Functions           int
	CanInstall          bool
	Install             *Install
}

// Install is a running or ended installation.
type Install struct {
	Name        string
	Done, Total int64 // bytes; Total 0 when unknown
	Ended       bool
	Error       string
}

// AccountSettings are limits, retention and prices.
type AccountSettings struct {
	Concurrency                         Field
	LogDays, InvocationDays, AuditDays  Field
	PerMillion, PerGBSecond             Field
	Region, AccountID, Version, Address string
	Flash                               string
}

// SessionsSettings are the person's signed-in browsers.
type SessionsSettings struct {
	Sessions []SessionRow
	Flash    string
}

// SessionRow is one of them.
type SessionRow struct {
	ID            int64
	Agent, From   string
	Created, Seen time.Time
	This          bool
}

// AuditSettings is a page of the audit.
type AuditSettings struct {
	Rows   []AuditRow
	Next   int64
	Denied bool // only refusals
}

// AuditRow is one change or refusal.
type AuditRow struct {
	At               time.Time
	By, From         string
	Action, Resource string
	Denied           bool
	Detail           []Pair
}

// ladder are the rungs from the safest to none.
var ladder = []string{"A", "B", "C", "D"}

func (r RuntimesSettings) ready() (ready, missing int) {
	for _, row := range r.Runtimes {
		if row.Ready {
			ready++
		} else {
			missing++
		}
	}
	return ready, missing
}

func (a AuditSettings) nextPath() string {
	q := url.Values{"before": {strconv.FormatInt(a.Next, 10)}}
	if a.Denied {
		q.Set("denied", "1")
	}
	return pathWith("/settings/audit", q)
}

func (i Install) share() int64 {
	if i.Total <= 0 {
		return 0
	}
	return i.Done * 100 / i.Total
}

// rungNote says of a rung that is not in use whether it would be better or is not needed.
func rungNote(rung, used string) string {
	switch {
	case rung == "D":
		return "sandbox.refused"
	case used == "" || rung < used:
		return "sandbox.better"
	}
	return "sandbox.spare"
}

// adviceKey is what to do about the rung in use.
func adviceKey(rung string) string {
	switch rung {
	case "A", "B", "C", "D":
		return "sandbox.advice." + rung
	}
	return "sandbox.advice.none"
}

func cssID(name string) string { return strings.NewReplacer(".", "-", " ", "-").Replace(name) }

func poolFacts(ctx context.Context, m Machine) []Fact {
	l := Of(ctx).Locale
	return []Fact{
		{Label: T(ctx, "runtimes.prebooted"), Value: l.Int(int64(m.PreBooted))},
		{Label: T(ctx, "runtimes.warm"), Value: l.Int(int64(m.Workers))},
		{Label: T(ctx, "home.busy"), Value: l.Int(int64(m.Running))},
		{Label: T(ctx, "runtimes.memory"), Value: l.Bytes(m.MemoryMB << 20), Unit: T(ctx, "runtimes.budget", "max", l.Bytes(m.MemoryMaxMB<<20))},
	}
}
