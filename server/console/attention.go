package console

import (
	"context"
	"slices"
	"time"

	"kiln/lambda"
	"kiln/web"
)

const maxAttention = 12

// attention are the things that a person should look at, the worst first.
func (c *Console) attention(ctx context.Context, functions []*lambda.Function, day map[int64]lambda.MetricPoint) ([]web.Attention, error) {
	var all []web.Attention
	all = append(all, c.sandboxAttention(ctx)...)
	errors, err := c.errorAttention(ctx)
	if err != nil {
		return nil, err
	}
	all = append(all, errors...)
	dead, err := c.deadAttention(ctx)
	if err != nil {
		return nil, err
	}
	all = append(all, dead...)
	all = append(all, c.throttleAttention(ctx, functions, day)...)
	all = append(all, c.runtimeAttention(ctx, functions)...)
	return all[:min(len(all), maxAttention)], nil
}

func (c *Console) sandboxAttention(ctx context.Context) []web.Attention {
	capacity := c.Engine.Capacity()
	a := web.Attention{State: web.State{Class: "err", Icon: "err", Key: "home.att.sandbox.state"}, Act: web.T(ctx, "home.att.sandbox.act"), Href: "/settings/runtimes"}
	switch {
	case capacity.Reason != "" || capacity.Rung == "":
		a.Text, a.Sub = web.T(ctx, "home.att.sandbox"), reasonText(ctx, capacity.Reason)
	case capacity.Rung == "D":
		a.Text = web.T(ctx, "home.att.sandbox.weak")
	default:
		return nil
	}
	return []web.Attention{a}
}

// reasonText says why functions do not run; reasons are keys of errors.
func reasonText(ctx context.Context, key string) string {
	if key == "" {
		return ""
	}
	return web.ErrorText(web.Of(ctx).Locale, lambda.E(lambda.Unavailable, key))
}

// errorAttention are the kinds of error that appeared for the first time in the last day.
func (c *Console) errorAttention(ctx context.Context) ([]web.Attention, error) {
	since := c.Now().Add(-24 * time.Hour)
	groups, err := c.Store.ErrorGroups(ctx, 0, since, 20)
	if err != nil {
		return nil, err
	}
	var all []web.Attention
	for _, g := range groups {
		if g.First.Before(since) {
			continue
		}
		kind := g.ErrorType
		if kind == "" {
			kind = "Error"
		}
		all = append(all, web.Attention{
			State: web.State{Class: "err", Icon: "err", Key: "home.att.error.state"}, Function: g.Function,
			Text: web.T(ctx, "home.att.error", "type", kind, "n", g.N), Sub: cutRunes(g.Message, 160),
			Act: web.T(ctx, "home.att.error.act"), Href: web.FunctionPath(g.Function, "invocations") + "?status=error",
		})
	}
	return all, nil
}

// deadAttention are the functions whose events were given up.
func (c *Console) deadAttention(ctx context.Context) ([]web.Attention, error) {
	letters, err := c.Store.DeadLetters(ctx, 0, 0, redriveBatch)
	if err != nil {
		return nil, err
	}
	var names []string
	byName := map[string][]lambda.DeadLetter{}
	for _, l := range letters {
		name := l.Invocation.Function
		if byName[name] == nil {
			names = append(names, name)
		}
		byName[name] = append(byName[name], l)
	}
	var all []web.Attention
	for _, name := range names {
		newest, n := byName[name][0], len(byName[name])
		why := "home.att.dead.retries"
		if newest.Reason == "age" {
			why = "home.att.dead.age"
		}
		all = append(all, web.Attention{
			State: web.State{Class: "warn", Icon: "warn", Key: "home.att.dead.state"}, Function: name,
			Text: web.T(ctx, "home.att.dead", "n", n), Sub: web.T(ctx, "home.att.dead.sub", "when", web.Of(ctx).When(newest.At), "why", web.T(ctx, why)),
			Act: web.T(ctx, "home.att.dead.act", "n", n), Post: web.FunctionPath(name, "redrive"),
		})
	}
	return all, nil
}

func (c *Console) throttleAttention(ctx context.Context, functions []*lambda.Function, day map[int64]lambda.MetricPoint) []web.Attention {
	var all []web.Attention
	for _, f := range functions {
		n := day[f.ID].Throttles
		if n == 0 {
			continue
		}
		sub := web.T(ctx, "home.att.throttled.account")
		if f.Reserved != nil {
			sub = web.T(ctx, "home.att.throttled.own", "n", *f.Reserved)
		}
		all = append(all, web.Attention{
			State: web.StateThrottled, Function: f.Name, Text: web.T(ctx, "home.att.throttled", "n", n), Sub: sub,
			Act: web.T(ctx, "home.att.throttled.act"), Href: web.FunctionPath(f.Name, "configure") + "#concurrency",
		})
	}
	return all
}

func (c *Console) runtimeActKey(runtime string) string {
	if c.canInstall(runtime) {
		return "home.att.runtime.act"
	}
	return "settings.runtimes"
}

// runtimeAttention names each runtime that functions need and this machine lacks once.
func (c *Console) runtimeAttention(ctx context.Context, functions []*lambda.Function) []web.Attention {
	var all []web.Attention
	var seen []string
	for _, f := range functions {
		if c.runs(f.Runtime) || slices.Contains(seen, f.Runtime) {
			continue
		}
		seen = append(seen, f.Runtime)
		all = append(all, web.Attention{
			State: web.StateNoRuntime, Function: f.Name, Text: web.T(ctx, "home.att.runtime", "runtime", f.Runtime),
			Act: web.T(ctx, c.runtimeActKey(f.Runtime)), Href: "/settings/runtimes",
		})
	}
	return all
}
