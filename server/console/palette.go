package console

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/web"
)

const (
	paletteFunctions = 8
	paletteFirst     = 5 // before anything is typed
)

// palette finds functions, pages and actions; part=results is what typing asks for.
func (c *Console) palette(e echo.Context) error {
	ctx := c.Context(e)
	p := web.Palette{Query: cutRunes(strings.TrimSpace(e.QueryParam("q")), 100)}
	if err := c.fillPalette(ctx, &p); err != nil {
		return err
	}
	if e.QueryParam("part") == "results" {
		return c.fragment(e, http.StatusOK, web.PaletteResults(p))
	}
	return c.fragment(e, http.StatusOK, web.PaletteView(p))
}

var requestIDPattern = regexp.MustCompile(`^#?([0-9a-f]{6,8}(-[0-9a-f-]*)?)$`)

func (c *Console) fillPalette(ctx context.Context, p *web.Palette) error {
	add := func(key string, items []web.PaletteItem) {
		if len(items) > 0 {
			p.Groups = append(p.Groups, web.PaletteGroup{Key: key, Items: items})
		}
	}
	words := strings.Fields(p.Query)
	text := ""
	if len(words) > 0 {
		text = words[0]
	}
	limit := paletteFunctions
	if text == "" {
		limit = paletteFirst
	}
	functions, err := c.Store.Functions(ctx, lambda.FunctionFilter{Query: text, Limit: limit})
	if err != nil {
		return err
	}
	if m := requestIDPattern.FindStringSubmatch(strings.ToLower(p.Query)); m != nil {
		add("nav.invocations", []web.PaletteItem{{Icon: "inv", Text: web.T(ctx, "palette.invocation", "id", m[1]), Href: "/invocations/" + m[1]}})
	}
	add("palette.functions", functionItems(functions))
	if len(functions) > 0 && text != "" {
		add("palette.actions", actionItems(ctx, functions[0], words[1:]))
	}
	add("palette.pages", pageItems(ctx, p.Query))
	return nil
}

func functionItems(functions []*lambda.Function) (items []web.PaletteItem) {
	for _, f := range functions {
		items = append(items, web.PaletteItem{Icon: "fn", Mono: f.Name, Sub: f.Runtime, Href: web.FunctionPath(f.Name, "")})
	}
	return items
}

// actionItems are the pages of the best match; further words narrow them.
func actionItems(ctx context.Context, f *lambda.Function, words []string) (items []web.PaletteItem) {
	for _, a := range []struct{ icon, key, tab string }{
		{"sliders", "palette.configure", "configure"}, {"logs", "palette.logs", "logs"}, {"chart", "palette.monitor", "monitor"}, {"back", "palette.versions", "versions"},
	} {
		text := web.T(ctx, a.key, "name", f.Name)
		if containsAll(text, words) {
			items = append(items, web.PaletteItem{Icon: a.icon, Text: text, Href: web.FunctionPath(f.Name, a.tab)})
		}
	}
	return items
}

func pageItems(ctx context.Context, query string) (items []web.PaletteItem) {
	for _, p := range []struct{ icon, key, href string }{
		{"plus", "home.new", "/new"}, {"home", "nav.home", "/"}, {"fn", "nav.functions", "/functions"}, {"inv", "nav.invocations", "/invocations"},
		{"logs", "nav.logs", "/logs"}, {"gear", "palette.runtimes", "/settings/runtimes"}, {"sliders", "settings.account", "/settings/account"},
		{"user", "shell.sessions", "/settings/sessions"}, {"shield", "palette.audit", "/settings/audit"},
	} {
		if text := web.T(ctx, p.key); containsAll(text, strings.Fields(query)) {
			items = append(items, web.PaletteItem{Icon: p.icon, Text: text, Href: p.href})
		}
	}
	return items
}

func containsAll(text string, words []string) bool {
	text = strings.ToLower(text)
	for _, w := range words {
		if !strings.Contains(text, strings.ToLower(w)) {
			return false
		}
	}
	return true
}
