package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// roleStore is what choosing a role needs.
type roleStore interface {
	Roles(ctx context.Context) ([]iam.Role, error)
	Role(ctx context.Context, arn string) (*iam.Role, error)
}

func (c *Console) configureRoutes() []Route {
	fn := edge.OnFunction("name")
	return []Route{
		route("GET", "/functions/:name/configure", "lambda:GetFunctionConfiguration", fn, c.configure),
		route("POST", "/functions/:name/configure", "lambda:UpdateFunctionConfiguration", fn, c.saveConfigure),
		route("GET", "/functions/:name/configure/role", "lambda:GetFunctionConfiguration", fn, c.roleInWords),
	}
}

func (c *Console) configure(e echo.Context) error {
	ctx := c.Context(e)
	f, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	page, err := c.configurePage(ctx, f, formOf(f))
	if err != nil {
		return err
	}
	page.Flash = c.flash(e)
	return c.page(e, http.StatusOK, web.ConfigurePage(page))
}

// roleInWords is what another choice of role shows below it.
func (c *Console) roleInWords(e echo.Context) error {
	words, err := c.roleWords(c.Context(e), e.QueryParam("role"))
	if err != nil {
		return err
	}
	return c.fragment(e, http.StatusOK, web.RoleWords(words))
}

// configurePage fills everything that does not depend on what was typed, and what differs from the saved state.
func (c *Console) configurePage(ctx context.Context, f *lambda.Function, form web.ConfigForm) (web.Configure, error) {
	page := web.Configure{
		Head: c.head(ctx, f, "configure"), Revision: f.Revision, Form: form, Problems: map[string]string{}, Was: map[string]string{},
		EnvShown: c.Gate.May(ctx, "lambda:UpdateFunctionConfiguration", c.ARNs.Function(f.Name, "")), EnvSize: f.Env.Size(),
	}
	var err error
	if page.Roles, err = c.roleChoices(ctx); err != nil {
		return page, err
	}
	if !slices.ContainsFunc(page.Roles, func(r web.RoleChoice) bool { return r.ARN == f.Role }) {
		page.Roles = append(page.Roles, web.RoleChoice{ARN: f.Role, Name: f.Role})
	}
	if page.RoleWords, err = c.roleWords(ctx, form.Role); err != nil {
		return page, err
	}
	page.Runtimes = c.runtimeChoices("")
	if page.ReserveMax, err = c.reservable(ctx, f); err != nil {
		return page, err
	}
	page.Runs = c.memoryRuns(ctx, f)
	page.Changes = c.changes(ctx, formOf(f), form)
	for _, ch := range page.Changes {
		page.Was[ch.Field] = ch.Before
	}
	if !page.EnvShown {
		for i := range page.Form.Env {
			page.Form.Env[i].Value = ""
		}
	}
	return page, nil
}

// memoryRuns are the runs of the last day, when there are any.
func (c *Console) memoryRuns(ctx context.Context, f *lambda.Function) *web.MemoryRuns {
	now := c.Now()
	points, err := c.Store.Metrics(ctx, lambda.MetricQuery{FunctionID: f.ID, From: now.Add(-24 * time.Hour), To: now, Step: time.Hour})
	if err != nil {
		c.Log.WarnContext(ctx, "runs", "error", err)
		return nil
	}
	var sum lambda.MetricPoint
	for i := range points {
		sum.Add(&points[i])
	}
	if sum.N == 0 {
		return nil
	}
	fig := figures(sum, c.prices(ctx))
	return &web.MemoryRuns{N: sum.N, P95: fig.P95, UsedMB: sum.MaxMemoryMB, LimitMB: f.MemoryMB, PerMillion: fig.Cost * 1e6 / float64(sum.N)}
}

// reservable is the highest reservation that f may take.
func (c *Console) reservable(ctx context.Context, f *lambda.Function) (int, error) {
	account, err := c.concurrency(ctx)
	if err != nil {
		return 0, err
	}
	all, err := c.Store.Functions(ctx, lambda.FunctionFilter{Limit: manyFunctions})
	if err != nil {
		return 0, err
	}
	free := account - lambda.MinUnreserved
	for _, other := range all {
		if other.Name != f.Name && other.Reserved != nil {
			free -= *other.Reserved
		}
	}
	return max(0, free), nil
}

func (c *Console) concurrency(ctx context.Context) (int, error) {
	n := lambda.DefaultConcurrency
	err := c.Store.Setting(ctx, "concurrency", &n)
	return n, err
}

// runtimeChoices are the runtimes that can be chosen; family "" is all of them.
func (c *Console) runtimeChoices(family string) (out []web.RuntimeChoice) {
	for _, name := range lambda.Runtimes {
		if family != "" && familyOf(name) != family {
			continue
		}
		r := web.RuntimeChoice{Name: name}
		by, ok := c.Runtimes.Resolve(name)
		if r.Ready = ok; ok && by.Name != name {
			r.By = by.Name
		}
		out = append(out, r)
	}
	return out
}

func (c *Console) roleChoices(ctx context.Context) (out []web.RoleChoice, err error) {
	roles, err := c.Store.Roles(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		out = append(out, web.RoleChoice{ARN: r.ARN, Name: r.Name})
	}
	return out, nil
}

// saveConfigure saves, reviews, or adds an empty row (for browsers without JavaScript); do says which.
func (c *Console) saveConfigure(e echo.Context) error {
	ctx := c.Context(e)
	f, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	form, problems, err := readForm(e)
	if err != nil {
		return err
	}
	revision, err := strconv.ParseInt(e.FormValue("revision"), 10, 64)
	if err != nil {
		return lambda.E(lambda.Invalid, "input.invalid")
	}
	base := formOf(f)
	if revision != f.Revision {
		if base, err = c.baseForm(ctx, f, revision); err != nil {
			return err
		}
	}
	s := submitted{f: f, base: base, form: form, problems: problems, revision: revision}
	switch do := e.QueryParam("do") + e.FormValue("do"); {
	case e.QueryParam("do") == "review" || do == "review":
		return c.review(e, s)
	case do == "env" || do == "tag":
		return c.addRow(e, s, do)
	default:
		return c.saveForm(e, s)
	}
}

// submitted is a form with the state that it started from and the state of now.
type submitted struct {
	f        *lambda.Function
	base     web.ConfigForm // the form's revision
	form     web.ConfigForm
	problems []lambda.Problem
	revision int64
}

// stale says whether somebody saved in the meantime.
func (s submitted) stale() bool { return s.revision != s.f.Revision }

func (c *Console) baseForm(ctx context.Context, f *lambda.Function, revision int64) (web.ConfigForm, error) {
	r, err := c.Store.Revision(ctx, f.Name, revision)
	if err != nil {
		return web.ConfigForm{}, err
	}
	old := *f // reservation and tags are in no revision
	old.Config = r.Config
	return formOf(&old), nil
}

func (c *Console) review(e echo.Context, s submitted) error {
	ctx := c.Context(e)
	if s.stale() {
		s.form = rebase(s.base, s.form, formOf(s.f))
	}
	page, err := c.configurePage(ctx, s.f, s.form)
	if err != nil {
		return err
	}
	page.Problems = problemTexts(ctx, c.problemsOf(ctx, s))
	if isHTMX(e) {
		return c.fragment(e, http.StatusOK, web.ReviewDialog(page))
	}
	page.Review = true
	return c.page(e, http.StatusOK, web.ConfigurePage(page))
}

// problemsOf are the rules that the form breaks, before anything is saved.
func (c *Console) problemsOf(ctx context.Context, s submitted) []lambda.Problem {
	problems := slices.Clone(s.problems)
	u, wrong := updateOf(s.f, s.form)
	problems = append(problems, wrong...)
	account, err := c.concurrency(ctx)
	if err != nil {
		account = lambda.DefaultConcurrency
	}
	free, err := c.reservable(ctx, s.f)
	if err != nil {
		free = account
	}
	if err := u.Validate(s.f, account, max(0, account-lambda.MinUnreserved-free)); err != nil {
		problems = append(problems, asDomain(err).Problems...)
	}
	return problems
}

func (c *Console) addRow(e echo.Context, s submitted, kind string) error {
	page, err := c.configurePage(c.Context(e), s.f, s.form)
	if err != nil {
		return err
	}
	if kind == "env" {
		page.Form.Env = append(page.Form.Env, web.Pair{})
	} else {
		page.Form.Tags = append(page.Form.Tags, web.Pair{})
	}
	return c.page(e, http.StatusOK, web.ConfigurePage(page))
}

// saveForm saves the form, or draws it again: with messages next to the fields, or with both values when somebody else was faster.
func (c *Console) saveForm(e echo.Context, s submitted) error {
	ctx := c.Context(e)
	if s.stale() {
		return c.conflict(e, s)
	}
	u, wrong := updateOf(s.f, s.form)
	if problems := append(s.problems, wrong...); len(problems) > 0 {
		return c.wrongFields(e, s, problems)
	}
	if u.Role != nil {
		if err := c.mayPass(ctx, *u.Role); err != nil {
			return err
		}
	}
	if !u.ChangesRevision() && u.Reserved == nil && u.Tags == nil {
		return c.redirect(e, web.FunctionPath(s.f.Name, "configure"), "flash.nothing")
	}
	_, err := c.Store.UpdateFunction(ctx, edge.Principal(ctx), s.f.Name, s.revision, u)
	switch d := asDomain(err); {
	case err == nil:
		c.Engine.Changed(s.f.Name)
		return c.redirect(e, web.FunctionPath(s.f.Name, "configure"), "flash.configured")
	case d.Key == "function.changed":
		if s.f, err = c.Store.Function(ctx, s.f.Name); err != nil {
			return err
		}
		return c.conflict(e, s)
	case len(d.Problems) > 0:
		return c.wrongFields(e, s, d.Problems)
	}
	return err
}

func (c *Console) wrongFields(e echo.Context, s submitted, problems []lambda.Problem) error {
	ctx := c.Context(e)
	page, err := c.configurePage(ctx, s.f, s.form)
	if err != nil {
		return err
	}
	page.Problems = problemTexts(ctx, problems)
	return c.page(e, http.StatusUnprocessableEntity, web.ConfigurePage(page))
}

// conflict shows the form on top of what the other saved: untouched fields follow, touched ones show both values.
func (c *Console) conflict(e echo.Context, s submitted) error {
	ctx := c.Context(e)
	now := formOf(s.f)
	page, err := c.configurePage(ctx, s.f, rebase(s.base, s.form, now))
	if err != nil {
		return err
	}
	theirs := c.changes(ctx, s.base, now)
	for i, mine := range page.Changes {
		at := slices.IndexFunc(theirs, func(t web.ConfigChange) bool { return t.Field == mine.Field })
		if at >= 0 && theirs[at].After != mine.After {
			page.Changes[i].IsConflict, page.Changes[i].Theirs = true, theirs[at].After
			page.Changes[i].Before = theirs[at].Before
		}
	}
	page.Conflict = &web.Conflict{By: s.f.UpdatedBy, At: s.f.UpdatedAt, Number: s.f.Revision}
	return c.page(e, http.StatusConflict, web.ConfigurePage(page))
}

func problemTexts(ctx context.Context, problems []lambda.Problem) map[string]string {
	out := map[string]string{}
	for _, p := range problems {
		text := web.ProblemText(web.Of(ctx).Locale, p)
		if out[p.Field] != "" {
			text = out[p.Field] + " " + text
		}
		out[p.Field] = text
	}
	return out
}
