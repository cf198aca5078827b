package console

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// asyncStore is what the settings of asynchronous events need.
type asyncStore interface {
	AsyncConfig(ctx context.Context, function, qualifier string) (*lambda.EventInvokeConfig, error)
	PutAsyncConfig(ctx context.Context, by iam.Principal, c lambda.EventInvokeConfig) (*lambda.EventInvokeConfig, error)
	DeleteAsyncConfig(ctx context.Context, by iam.Principal, function, qualifier string) error
}

func (c *Console) asyncRoutes() []Route {
	fn := edge.OnFunction("name")
	return []Route{
		route("GET", "/functions/:name/configure/async", "lambda:GetFunctionEventInvokeConfig", fn, c.async),
		route("POST", "/functions/:name/configure/async", "lambda:PutFunctionEventInvokeConfig", fn, c.saveAsync),
		route("POST", "/functions/:name/configure/async/reset", "lambda:DeleteFunctionEventInvokeConfig", fn, c.resetAsync),
		route("POST", "/functions/:name/configure/async/dead-letter", "lambda:UpdateFunctionConfiguration", fn, c.saveDeadLetter),
	}
}

// part is the frame of a page beside Configure.
func (c *Console) part(ctx context.Context, f *lambda.Function, key string) web.ConfigurePart {
	return web.ConfigurePart{Head: c.head(ctx, f, "configure"), Key: key, Problems: map[string]string{}}
}

func (c *Console) async(e echo.Context) error {
	page, err := c.asyncPage(c.Context(e), e.Param("name"))
	if err != nil {
		return err
	}
	page.Flash = c.flash(e)
	return c.page(e, http.StatusOK, web.AsyncPage(page))
}

const shownDead = 20

func (c *Console) asyncPage(ctx context.Context, name string) (page web.Async, err error) {
	f, err := c.Store.Function(ctx, name)
	if err != nil {
		return page, err
	}
	page = web.Async{ConfigurePart: c.part(ctx, f, "async"), Revision: f.Revision, DeadLetter: f.DeadLetter, Retries: "2"}
	cfg, err := c.Store.AsyncConfig(ctx, f.Name, lambda.Latest)
	if err != nil && lambda.KeyOf(err) != "async.missing" {
		return page, err
	}
	if cfg != nil {
		page.IsSet, page.OnSuccess, page.OnFailure = true, cfg.OnSuccess, cfg.OnFailure
		if cfg.MaxRetries != nil {
			page.Retries = strconv.Itoa(*cfg.MaxRetries)
		}
		if cfg.MaxAgeSec != nil {
			page.MaxAge = strconv.Itoa(*cfg.MaxAgeSec)
		}
	}
	if page.Queue, err = c.Store.QueueState(ctx, f.ID); err != nil {
		return page, err
	}
	if page.Dead, err = c.Store.DeadLetters(ctx, f.ID, 0, shownDead); err != nil {
		return page, err
	}
	others, err := c.Store.Functions(ctx, lambda.FunctionFilter{Limit: manyFunctions})
	for _, o := range others {
		if o.Name != f.Name {
			page.Functions = append(page.Functions, c.ARNs.Function(o.Name, ""))
		}
	}
	return page, err
}

// saveAsync keeps retries, age and destinations of $LATEST's events.
func (c *Console) saveAsync(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	typed := web.Async{Retries: e.FormValue("retries"), MaxAge: strings.TrimSpace(e.FormValue("maxAge")),
		OnSuccess: strings.TrimSpace(e.FormValue("onSuccess")), OnFailure: strings.TrimSpace(e.FormValue("onFailure"))}
	cfg := lambda.EventInvokeConfig{Function: name, Qualifier: lambda.Latest, OnSuccess: typed.OnSuccess, OnFailure: typed.OnFailure}
	retries, wrongRetries := strconv.Atoi(typed.Retries)
	cfg.MaxRetries = &retries
	age, wrongAge := strconv.Atoi(typed.MaxAge)
	if typed.MaxAge != "" {
		cfg.MaxAgeSec = &age
	} else {
		wrongAge = nil
	}
	var problems []lambda.Problem
	for field, err := range map[string]error{"maxRetries": wrongRetries, "maxAge": wrongAge} {
		if err != nil {
			problems = append(problems, lambda.Problem{Field: field, Key: "number"})
		}
	}
	if len(problems) > 0 {
		return c.wrongAsync(e, typed, problemTexts(ctx, problems), "")
	}
	if _, err := c.Store.PutAsyncConfig(ctx, edge.Principal(ctx), cfg); err != nil {
		fields, above, ok := complaint(ctx, err)
		if !ok {
			return err
		}
		return c.wrongAsync(e, typed, fields, above)
	}
	c.Engine.Changed(name)
	return c.redirect(e, web.FunctionPath(name, "configure/async"), "flash.configured")
}

func (c *Console) wrongAsync(e echo.Context, typed web.Async, problems map[string]string, above string) error {
	page, err := c.asyncPage(c.Context(e), e.Param("name"))
	if err != nil {
		return err
	}
	page.Retries, page.MaxAge, page.OnSuccess, page.OnFailure = typed.Retries, typed.MaxAge, typed.OnSuccess, typed.OnFailure
	page.Problems, page.Above = problems, above
	return c.page(e, http.StatusUnprocessableEntity, web.AsyncPage(page))
}

func (c *Console) resetAsync(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	if err := c.Store.DeleteAsyncConfig(ctx, edge.Principal(ctx), name, lambda.Latest); err != nil && lambda.KeyOf(err) != "async.missing" {
		return err
	}
	c.Engine.Changed(name)
	return c.redirect(e, web.FunctionPath(name, "configure/async"), "flash.async.reset")
}

// saveDeadLetter sets the ARN under which given up events are kept; it belongs to the configuration, so it makes a revision.
func (c *Console) saveDeadLetter(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	arn := strings.TrimSpace(e.FormValue("deadLetter"))
	_, err := c.Store.UpdateFunction(ctx, edge.Principal(ctx), name, numberIn(e.FormValue("revision"), 0), lambda.FunctionUpdate{DeadLetter: &arn})
	if err == nil {
		c.Engine.Changed(name)
		return c.redirect(e, web.FunctionPath(name, "configure/async"), "flash.configured")
	}
	fields, above, ok := complaint(ctx, err)
	if !ok {
		return err
	}
	page, err := c.asyncPage(ctx, name)
	if err != nil {
		return err
	}
	page.DeadLetter, page.Problems, page.Above = arn, fields, above
	return c.page(e, http.StatusUnprocessableEntity, web.AsyncPage(page))
}
