package console

import (
	"context"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// settingsStore is what Settings need.
type settingsStore interface {
	SetSetting(ctx context.Context, by iam.Principal, name string, value any) error
	Sessions(ctx context.Context, user int64) ([]iam.Session, error)
	Audit(ctx context.Context, before int64, limit int) ([]lambda.AuditEntry, error)
}

func (c *Console) settingsRoutes() []Route {
	on := edge.OnAccount
	return []Route{
		route("GET", "/settings", "kiln:GetSettings", on, func(e echo.Context) error { return e.Redirect(http.StatusSeeOther, "/settings/runtimes") }),
		route("GET", "/settings/runtimes", "kiln:GetSettings", on, c.runtimesPage),
		route("GET", "/settings/runtimes/:name", "kiln:GetSettings", on, c.runtimeLine),
		route("POST", "/settings/runtimes/refresh", "kiln:PutSetting", on, c.refreshRuntimes),
		route("POST", "/settings/runtimes/:name/install", "kiln:InstallRuntime", on, c.installRuntime),
		route("GET", "/settings/account", "kiln:GetSettings", on, c.accountPage),
		route("POST", "/settings/account", "kiln:PutSetting", on, c.saveAccount),
		route("GET", "/settings/sessions", "kiln:ListOwnSessions", on, c.sessionsPage),
		route("POST", "/settings/sessions/end", "kiln:EditOwnSessions", on, c.endSessions),
		route("POST", "/settings/sessions/:id/end", "kiln:EditOwnSessions", on, c.endSession),
		route("GET", "/settings/audit", "kiln:ReadAudit", on, c.auditPage),
	}
}

// installs are the running and the ended installations of this server start, one per runtime.
type installs struct {
	mu  sync.Mutex
	all map[string]*web.Install
}

func (i *installs) get(name string) *web.Install {
	i.mu.Lock()
	defer i.mu.Unlock()
	if in := i.all[name]; in != nil {
		c := *in
		return &c
	}
	return nil
}

// begin is false while one of this name runs.
func (i *installs) begin(name string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if in := i.all[name]; in != nil && !in.Ended {
		return false
	}
	if i.all == nil {
		i.all = map[string]*web.Install{}
	}
	i.all[name] = &web.Install{Name: name}
	return true
}

func (i *installs) progress(name string, done, total int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all[name].Done, i.all[name].Total = done, total
}

func (i *installs) end(name, problem string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all[name].Ended, i.all[name].Error = true, problem
}

func (c *Console) runtimesPage(e echo.Context) error {
	ctx := c.Context(e)
	used, err := c.usedRuntimes(ctx)
	if err != nil {
		return err
	}
	capacity := c.Engine.Capacity()
	page := web.RuntimesSettings{Rung: capacity.Rung, Reason: reasonText(ctx, capacity.Reason), Capacity: machineOf(capacity), Flash: c.flash(e)}
	for _, name := range c.runtimeNames() {
		if !c.runs(name) && !c.canInstall(name) && used[name] == 0 && !slices.Contains(ownFamilies, familyOf(name)) {
			continue // Kiln never runs it and nobody asks for it
		}
		page.Runtimes = append(page.Runtimes, c.runtimeRow(name, used[name]))
	}
	return c.page(e, http.StatusOK, web.RuntimesPage(page))
}

// ownFamilies are those that Kiln has a bootstrap for.
var ownFamilies = []string{"nodejs", "python", "provided"}

// runtimeNames are those that AWS knows and those that this machine has besides.
func (c *Console) runtimeNames() []string {
	names := slices.Clone(lambda.Runtimes)
	for _, r := range c.Runtimes.Ready() {
		if !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}

func (c *Console) usedRuntimes(ctx context.Context) (map[string]int, error) {
	all, err := c.Store.Functions(ctx, lambda.FunctionFilter{Limit: manyFunctions})
	if err != nil {
		return nil, err
	}
	used := map[string]int{}
	for _, f := range all {
		used[f.Runtime]++
	}
	return used, nil
}

func (c *Console) runtimeRow(name string, functions int) web.RuntimeRow {
	row := web.RuntimeRow{Name: name, Functions: functions, CanInstall: c.canInstall(name), Install: c.installs.get(name)}
	if r, ok := c.Runtimes.Resolve(name); ok {
		if r.Name == name {
			row.Ready, row.Version, row.Path = true, r.Version, r.Path
		} else {
			row.By = r.Name
		}
	}
	return row
}

func (c *Console) canInstall(name string) bool { return c.Install != nil && c.Install.CanInstall(name) }

func (c *Console) runtimeLine(e echo.Context) error {
	name := e.Param("name")
	if !slices.Contains(c.runtimeNames(), name) {
		return lambda.E(lambda.NotFound, "page.missing")
	}
	used, err := c.usedRuntimes(c.Context(e))
	if err != nil {
		return err
	}
	return c.fragment(e, http.StatusOK, web.RuntimeLine(c.runtimeRow(name, used[name])))
}

func (c *Console) refreshRuntimes(e echo.Context) error {
	c.Runtimes.Refresh(c.Context(e))
	return c.redirect(e, "/settings/runtimes", "flash.refreshed")
}

// installRuntime starts an installation, which goes on when the browser leaves; the line shows how far it is.
func (c *Console) installRuntime(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	if !c.canInstall(name) {
		return lambda.E(lambda.NotFound, "page.missing")
	}
	if c.installs.begin(name) {
		locale := web.Of(ctx).Locale
		c.tests.wg.Go(func() {
			problem := ""
			err := c.Install.Install(context.WithoutCancel(ctx), name, func(done, total int64) { c.installs.progress(name, done, total) })
			if err != nil {
				c.Log.Error("runtime not installed", "runtime", name, "error", err)
				problem = web.ErrorText(locale, asDomain(err))
			}
			c.installs.end(name, problem)
		})
	}
	if isHTMX(e) {
		return c.runtimeLine(e)
	}
	return c.redirect(e, "/settings/runtimes", "")
}

// accountForm are the settings as they were typed.
type accountForm struct{ concurrency, logDays, invocationDays, auditDays, perMillion, perGBSecond string }

func (c *Console) accountPage(e echo.Context) error {
	ctx := c.Context(e)
	n, err := c.concurrency(ctx)
	if err != nil {
		return err
	}
	r := lambda.DefaultRetention
	if err := c.Store.Setting(ctx, "retention", &r); err != nil {
		return err
	}
	p := c.prices(ctx)
	decimal := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	form := accountForm{strconv.Itoa(n), strconv.Itoa(r.LogDays), strconv.Itoa(r.InvocationDays), strconv.Itoa(r.AuditDays), decimal(p.PerMillion), decimal(p.PerGBSecond)}
	return c.drawAccount(e, http.StatusOK, form, nil)
}

func (c *Console) drawAccount(e echo.Context, status int, form accountForm, problems map[string]string) error {
	ctx := c.Context(e)
	locked := !web.Of(ctx).User.Owner
	field := func(name, label, value, unit string) web.Field {
		return web.Field{ID: "a-" + name, Name: name, Label: web.T(ctx, label), Value: value, Unit: unit, InputMode: "decimal", Error: problems[name], Disabled: locked}
	}
	days := web.T(ctx, "account.days")
	page := web.AccountSettings{
		Concurrency: field("concurrency", "account.concurrency", form.concurrency, ""),
		LogDays:     field("logDays", "account.logs", form.logDays, days), InvocationDays: field("invocationDays", "account.invocations", form.invocationDays, days),
		AuditDays:  field("auditDays", "account.auditdays", form.auditDays, days),
		PerMillion: field("perMillion", "account.permillion", form.perMillion, "$"), PerGBSecond: field("perGBSecond", "account.pergbs", form.perGBSecond, "$"),
		Region: c.ARNs.Region, AccountID: c.ARNs.AccountID, Version: c.Version, Address: c.Endpoint, Flash: c.flash(e),
	}
	page.Concurrency.Hint = web.T(ctx, "account.concurrency.hint")
	return c.page(e, status, web.AccountPage(page))
}

// saveAccount checks all settings before it writes those that changed.
func (c *Console) saveAccount(e echo.Context) error {
	ctx := c.Context(e)
	v := func(name string) string { return strings.TrimSpace(e.FormValue(name)) }
	form := accountForm{v("concurrency"), v("logDays"), v("invocationDays"), v("auditDays"), v("perMillion"), v("perGBSecond")}
	var problems []lambda.Problem
	whole := func(field, text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			problems = append(problems, lambda.Problem{Field: field, Key: "number"})
		}
		return n
	}
	amount := func(field, text string) float64 {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			f = math.NaN()
		}
		return f
	}
	n := whole("concurrency", form.concurrency)
	r := lambda.Retention{LogDays: whole("logDays", form.logDays), InvocationDays: whole("invocationDays", form.invocationDays), AuditDays: whole("auditDays", form.auditDays)}
	p := lambda.Prices{PerMillion: amount("perMillion", form.perMillion), PerGBSecond: amount("perGBSecond", form.perGBSecond)}
	if len(problems) == 0 {
		problems = append(problems, problemsIn(r.Validate())...)
		problems = append(problems, problemsIn(p.Validate())...)
		problems = append(problems, c.concurrencyProblem(ctx, n)...)
	}
	if len(problems) > 0 {
		return c.drawAccount(e, http.StatusUnprocessableEntity, form, problemTexts(ctx, problems))
	}
	for _, s := range []struct {
		name  string
		value any
	}{{"concurrency", n}, {"retention", r}, {"prices", p}} {
		if err := c.Store.SetSetting(ctx, edge.Principal(ctx), s.name, s.value); err != nil {
			return err
		}
	}
	c.Engine.Changed("")
	return c.redirect(e, "/settings/account", "flash.saved")
}

func problemsIn(err error) []lambda.Problem {
	if err == nil {
		return nil
	}
	return asDomain(err).Problems
}

const maxConcurrency = 100_000

// concurrencyProblem wants room for all reservations and what must stay unreserved.
func (c *Console) concurrencyProblem(ctx context.Context, n int) []lambda.Problem {
	all, err := c.Store.Functions(ctx, lambda.FunctionFilter{Limit: manyFunctions})
	if err != nil {
		return nil // the store checks again when a function is changed
	}
	least := lambda.MinUnreserved
	for _, f := range all {
		if f.Reserved != nil {
			least += *f.Reserved
		}
	}
	if n >= least && n <= maxConcurrency {
		return nil
	}
	return []lambda.Problem{{Field: "concurrency", Key: "range", Params: lambda.P("min", strconv.Itoa(least), "max", strconv.Itoa(maxConcurrency))}}
}

func (c *Console) sessionsPage(e echo.Context) error {
	ctx := c.Context(e)
	mine := edge.SessionOf(ctx)
	all, err := c.Store.Sessions(ctx, mine.User)
	if err != nil {
		return err
	}
	page := web.SessionsSettings{Flash: c.flash(e)}
	for _, s := range all {
		agent := browserOf(s.Agent)
		if agent == "" {
			agent = web.T(ctx, "sessions.unknown")
		}
		page.Sessions = append(page.Sessions, web.SessionRow{ID: s.ID, Agent: agent, From: s.From, Created: s.CreatedAt, Seen: s.SeenAt, This: s.ID == mine.ID})
	}
	return c.page(e, http.StatusOK, web.SessionsPage(page))
}

// browserOf is a short name for a user agent.
func browserOf(agent string) string {
	name := ""
	for _, b := range []struct{ mark, name string }{{"Edg/", "Edge"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}} {
		if strings.Contains(agent, b.mark) {
			name = b.name
			break
		}
	}
	if name == "" {
		return cutRunes(agent, 60)
	}
	for _, s := range []struct{ mark, name string }{{"iPhone", "iPhone"}, {"Android", "Android"}, {"Mac OS", "macOS"}, {"Windows", "Windows"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, s.mark) {
			return name + ", " + s.name
		}
	}
	return name
}

func (c *Console) endSession(e echo.Context) error {
	id, err := strconv.ParseInt(e.Param("id"), 10, 64)
	if err != nil || id <= 0 { // 0 would end all of them
		return lambda.E(lambda.NotFound, "page.missing")
	}
	ctx := c.Context(e)
	if err := c.Sessions.End(ctx, edge.Principal(ctx), edge.SessionOf(ctx).User, id); err != nil {
		return err
	}
	return c.redirect(e, "/settings/sessions", "flash.ended")
}

func (c *Console) endSessions(e echo.Context) error {
	ctx := c.Context(e)
	if err := c.Sessions.End(ctx, edge.Principal(ctx), edge.SessionOf(ctx).User, 0); err != nil {
		return err
	}
	return c.redirect(e, "/login", "")
}

const auditPage = 50

// auditPage is newest first; "only refusals" looks through as many pages as it takes to fill one, within a bound.
func (c *Console) auditPage(e echo.Context) error {
	ctx := c.Context(e)
	page := web.AuditSettings{Denied: e.QueryParam("denied") == "1"}
	before := numberIn(e.QueryParam("before"), 0)
	for range 20 {
		entries, err := c.Store.Audit(ctx, before, auditPage)
		if err != nil {
			return err
		}
		for _, a := range entries {
			if !page.Denied || a.Denied {
				page.Rows = append(page.Rows, auditRow(a))
			}
		}
		if len(entries) < auditPage {
			page.Next = 0
			break
		}
		before = entries[len(entries)-1].ID
		page.Next = before
		if len(page.Rows) >= auditPage || !page.Denied {
			break
		}
	}
	return c.page(e, http.StatusOK, web.AuditPage(page))
}

var digest = regexp.MustCompile(`\b([0-9a-f]{12})[0-9a-f]{52}\b`)

// auditRow shortens digests of packages: twelve characters tell them apart.
func auditRow(a lambda.AuditEntry) web.AuditRow {
	for name, v := range a.Detail {
		a.Detail[name] = digest.ReplaceAllString(v, "$1…")
	}
	return web.AuditRow{At: a.At, By: a.By, From: a.From, Action: a.Action, Resource: a.Resource, Denied: a.Denied, Detail: pairsOf(a.Detail)}
}
