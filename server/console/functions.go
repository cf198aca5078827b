package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// functionStore is what the list and deleting need.
type functionStore interface {
	DeleteFunction(ctx context.Context, by iam.Principal, name string) error
	QueueState(ctx context.Context, functionID int64) (lambda.QueueState, error)
}

func (c *Console) functionsRoutes() []Route {
	fn := edge.OnFunction("name")
	return []Route{
		route("GET", "/functions", "lambda:ListFunctions", edge.OnAccount, c.functions),
		route("GET", "/functions/:name/delete", "lambda:DeleteFunction", fn, c.deletePage),
		route("POST", "/functions/:name/delete", "lambda:DeleteFunction", fn, c.deleteFunction),
		route("GET", "/palette", "lambda:ListFunctions", edge.OnAccount, c.palette),
	}
}

const functionsPage = 50

// functions is the list, filtered and sorted. By name it is paged by key; every other order shows the first of all that match.
func (c *Console) functions(e echo.Context) error {
	ctx := c.Context(e)
	page := web.Functions{Query: cutRunes(e.QueryParam("q"), 200), Sort: e.QueryParam("sort")}
	if _, known := orders[page.Sort]; !known {
		page.Sort = "name"
	}
	filter := parseFilter(page.Query)
	list, err := c.listed(ctx, &page, filter, e.QueryParam("after"))
	if err != nil {
		return err
	}
	if page.Rows, err = c.functionRows(ctx, list, filter, page.Sort); err != nil {
		return err
	}
	if len(page.Rows) > functionsPage {
		page.Rows, page.Cut = page.Rows[:functionsPage], true
	}
	if err := c.sparks(ctx, list, page.Rows); err != nil {
		return err
	}
	if page.Total, err = c.Store.CountFunctions(ctx); err != nil {
		return err
	}
	page.Flash = c.flash(e)
	return c.page(e, http.StatusOK, web.FunctionsPage(page))
}

// listed reads one page when the store can page it, else everything that may match.
func (c *Console) listed(ctx context.Context, page *web.Functions, f functionFilter, after string) ([]*lambda.Function, error) {
	if page.Sort != "name" || !f.onlyText() {
		return c.Store.Functions(ctx, lambda.FunctionFilter{Query: f.text, Limit: manyFunctions})
	}
	list, err := c.Store.Functions(ctx, lambda.FunctionFilter{Query: f.text, After: after, Limit: functionsPage + 1})
	if err != nil {
		return nil, err
	}
	if len(list) > functionsPage {
		list = list[:functionsPage]
		page.Next = list[functionsPage-1].Name
	}
	return list, nil
}

func (c *Console) functionRows(ctx context.Context, list []*lambda.Function, filter functionFilter, order string) ([]web.FunctionRow, error) {
	now := c.Now()
	hour, err := c.Store.MetricsByFunction(ctx, now.Add(-time.Hour), now)
	if err != nil {
		return nil, err
	}
	local := web.Of(ctx).Local(now)
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, local.Location())
	today, err := c.Store.MetricsByFunction(ctx, midnight, now)
	if err != nil {
		return nil, err
	}
	prices := c.prices(ctx)
	var rows []web.FunctionRow
	for _, f := range list {
		row := web.FunctionRow{
			Name: f.Name, Description: f.Description, Runtime: f.Runtime, State: c.state(f, hour[f.ID]),
			Last: figures(hour[f.ID], prices), Today: figures(today[f.ID], prices), ChangedAt: f.UpdatedAt, ChangedBy: f.UpdatedBy,
		}
		if filter.matches(f, row) {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, orders[order])
	return rows, nil
}

// orders are the ways to sort; all but the name put the largest first.
var orders = map[string]func(a, b web.FunctionRow) int{
	"name":   func(a, b web.FunctionRow) int { return cmp.Compare(a.Name, b.Name) },
	"errors": func(a, b web.FunctionRow) int { return cmp.Compare(b.Last.ErrorShare(), a.Last.ErrorShare()) },
	"p95":    func(a, b web.FunctionRow) int { return cmp.Compare(b.Last.P95, a.Last.P95) },
	"cold":   func(a, b web.FunctionRow) int { return cmp.Compare(b.Last.ColdShare(), a.Last.ColdShare()) },
	"cost":   func(a, b web.FunctionRow) int { return cmp.Compare(b.Today.Cost, a.Today.Cost) },
	"change": func(a, b web.FunctionRow) int { return b.ChangedAt.Compare(a.ChangedAt) },
}

// sparks draws the last hour of the rows that are shown.
func (c *Console) sparks(ctx context.Context, list []*lambda.Function, rows []web.FunctionRow) error {
	ids := make(map[string]int64, len(list))
	for _, f := range list {
		ids[f.Name] = f.ID
	}
	each(len(rows), func(i int) { rows[i].Hour = c.hourSpark(ctx, ids[rows[i].Name]) })
	return ctx.Err()
}

// functionFilter is a parsed query: words to find in name or description, and conditions.
type functionFilter struct {
	text       string
	conditions []func(*lambda.Function, web.FunctionRow) bool
}

func (f functionFilter) onlyText() bool { return len(f.conditions) == 0 }

func (f functionFilter) matches(fn *lambda.Function, row web.FunctionRow) bool {
	for _, ok := range f.conditions {
		if !ok(fn, row) {
			return false
		}
	}
	return true
}

// parseFilter reads "name, runtime:python, errors>1, tag:shop, state:failing"; what it does not know is text.
func parseFilter(q string) functionFilter {
	var f functionFilter
	var words []string
	for _, w := range strings.FieldsFunc(q, func(r rune) bool { return r == ' ' || r == ',' }) {
		if cond := condition(w); cond != nil {
			f.conditions = append(f.conditions, cond)
		} else {
			words = append(words, w)
		}
	}
	f.text = strings.Join(words, " ")
	return f
}

func condition(w string) func(*lambda.Function, web.FunctionRow) bool {
	if name, v, ok := strings.Cut(w, ":"); ok && v != "" {
		switch name {
		case "runtime":
			return func(f *lambda.Function, _ web.FunctionRow) bool { return strings.HasPrefix(f.Runtime, v) }
		case "tag":
			key, want, exact := strings.Cut(v, "=")
			return func(f *lambda.Function, _ web.FunctionRow) bool {
				have, ok := f.Tags[key]
				return ok && (!exact || have == want)
			}
		case "state":
			return func(_ *lambda.Function, r web.FunctionRow) bool { return r.State.Key == "state."+v }
		}
	}
	for _, field := range []struct {
		name string
		of   func(web.FunctionRow) float64
	}{
		{"errors", func(r web.FunctionRow) float64 { return r.Last.ErrorShare() * 100 }},
		{"cold", func(r web.FunctionRow) float64 { return r.Last.ColdShare() * 100 }},
		{"p95", func(r web.FunctionRow) float64 { return float64(r.Last.P95) / float64(time.Millisecond) }},
	} {
		if v, ok := strings.CutPrefix(w, field.name+">"); ok {
			if n, err := strconv.ParseFloat(v, 64); err == nil {
				return func(_ *lambda.Function, r web.FunctionRow) bool { return field.of(r) > n }
			}
		}
	}
	return nil
}

func (c *Console) deleteQuestion(ctx context.Context, name string) (web.Delete, error) {
	f, err := c.Store.Function(ctx, name)
	if err != nil {
		return web.Delete{}, err
	}
	queue, err := c.Store.QueueState(ctx, f.ID)
	if err != nil {
		return web.Delete{}, err
	}
	return web.Delete{Name: f.Name, Running: c.Engine.Running(f.Name), Queued: queue.Waiting + queue.Delayed}, nil
}

func (c *Console) deletePage(e echo.Context) error {
	q, err := c.deleteQuestion(c.Context(e), e.Param("name"))
	if err != nil {
		return err
	}
	if isHTMX(e) {
		return c.fragment(e, http.StatusOK, web.DeleteDialog(q))
	}
	return c.page(e, http.StatusOK, web.DeletePage(q))
}

// deleteFunction wants the name typed.
func (c *Console) deleteFunction(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	if typed := strings.TrimSpace(e.FormValue("name")); typed != name {
		q, err := c.deleteQuestion(ctx, name)
		if err != nil {
			return err
		}
		q.Typed, q.Wrong = cutRunes(typed, 128), true
		return c.page(e, http.StatusUnprocessableEntity, web.DeletePage(q))
	}
	if err := c.Store.DeleteFunction(ctx, edge.Principal(ctx), name); err != nil {
		return err
	}
	c.Engine.Changed(name)
	return c.redirect(e, "/functions", "flash.deleted")
}
