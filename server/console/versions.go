package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// versionStore is what the timeline needs.
type versionStore interface {
	Versions(ctx context.Context, name string, after int64, limit int) ([]*lambda.Version, error)
	Aliases(ctx context.Context, function, version, after string, limit int) ([]*lambda.Alias, error)
	RollBack(ctx context.Context, by iam.Principal, name string, revision, to int64) (*lambda.Function, error)
}

func (c *Console) versionsRoutes() []Route {
	fn := edge.OnFunction("name")
	return []Route{
		route("GET", "/functions/:name/versions", "lambda:GetFunction", fn, c.versions),
		route("GET", "/functions/:name/rollback", "lambda:UpdateFunctionCode", fn, c.rollBackPage),
		route("POST", "/functions/:name/rollback", "lambda:UpdateFunctionCode", fn, c.rollBack),
	}
}

const timelinePage = 50

// versions is the timeline and the difference of two revisions, by default of the newest and the one before.
func (c *Console) versions(e echo.Context) error {
	ctx := c.Context(e)
	f, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	before, _ := strconv.ParseInt(e.QueryParam("before"), 10, 64) // a wrong key is the first page
	revisions, err := c.Store.Revisions(ctx, f.Name, before, timelinePage+1)
	if err != nil {
		return err
	}
	page := web.Versions{Head: c.head(ctx, f, "versions"), Current: f.Revision, Flash: c.flash(e)}
	c.timeline(ctx, f, revisions, &page)
	if err := c.published(ctx, f.Name, &page); err != nil {
		return err
	}
	page.To = numberIn(e.QueryParam("to"), f.Revision)
	page.From = numberIn(e.QueryParam("from"), page.To-1)
	if page.From > 0 && page.To > 0 && page.From != page.To {
		if page.Diff, err = c.revisionDiff(ctx, f, page.From, page.To); err != nil {
			return err
		}
	}
	page.Numbers = numbersAround(page, revisions)
	return c.page(e, http.StatusOK, web.VersionsPage(page))
}

const shownPublished = 1000

// published are the immutable versions, newest first, with the aliases that point at them.
func (c *Console) published(ctx context.Context, name string, page *web.Versions) error {
	versions, err := c.Store.Versions(ctx, name, 0, shownPublished)
	if err != nil {
		return err
	}
	aliases, err := c.Store.Aliases(ctx, name, "", "", shownPublished)
	if err != nil {
		return err
	}
	page.OnLatest = flagsOf(aliases, lambda.Latest)
	for _, v := range slices.Backward(versions) {
		page.Published = append(page.Published, web.PublishedVersion{Number: v.Number, Description: v.Description, By: v.By, At: v.At, Size: v.Code.Size,
			Aliases: flagsOf(aliases, strconv.FormatInt(v.Number, 10))})
	}
	return nil
}

// flagsOf are the aliases that send calls to a version, with its share when there are two.
func flagsOf(aliases []*lambda.Alias, version string) (out []web.AliasFlag) {
	for _, a := range aliases {
		share, second := a.Weights[version]
		if a.Version != version && !second {
			continue
		}
		for _, s := range a.Weights {
			if !second {
				share = 1 - s
			}
		}
		out = append(out, web.AliasFlag{Name: a.Name, Share: share})
	}
	return out
}

func numberIn(text string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		return n
	}
	return max(0, otherwise)
}

// numbersAround are the revisions that can be chosen: those of the timeline and the two that are compared.
func numbersAround(page web.Versions, revisions []*lambda.Revision) []int64 {
	numbers := []int64{page.To}
	if page.From > 0 {
		numbers = append(numbers, page.From)
	}
	for _, r := range revisions {
		numbers = append(numbers, r.Number)
	}
	slices.SortFunc(numbers, func(a, b int64) int { return int(b - a) })
	return slices.Compact(numbers)
}

// timeline groups revisions by day; each says what it changed against the one before it.
func (c *Console) timeline(ctx context.Context, f *lambda.Function, revisions []*lambda.Revision, page *web.Versions) {
	v := web.Of(ctx)
	for i, r := range revisions {
		if i == timelinePage {
			page.Next = revisions[i-1].Number
			break
		}
		item := web.VersionItem{Change: changeOf(r), Size: r.Code.Size, Current: r.Number == f.Revision, Note: r.Note}
		if i+1 < len(revisions) {
			older := revisions[i+1]
			item.Changes = c.configDiff(ctx, f, older.Config, r.Config)
			item.NewCode = older.Code.SHA256 != r.Code.SHA256
		}
		day := v.Local(r.At).Format("2006-01-02")
		if n := len(page.Days); n == 0 || v.Local(page.Days[n-1].At).Format("2006-01-02") != day {
			page.Days = append(page.Days, web.VersionDay{At: r.At})
		}
		last := &page.Days[len(page.Days)-1]
		last.Items = append(last.Items, item)
	}
}

// configDiff is what differs between two configurations. Values of variables are for those who may edit the function.
func (c *Console) configDiff(ctx context.Context, f *lambda.Function, before, after lambda.Config) []web.ConfigChange {
	form := func(cfg lambda.Config) web.ConfigForm {
		of := *f
		of.Config, of.Reserved, of.Tags = cfg, nil, nil
		return formOf(&of)
	}
	changes := c.changes(ctx, form(before), form(after))
	if !slices.Equal(before.Layers, after.Layers) {
		changes = append(changes, web.ConfigChange{Field: "layers", Label: web.T(ctx, "field.layers"), Before: joined(before.Layers), After: joined(after.Layers)})
	}
	if before.DeadLetter != after.DeadLetter {
		changes = append(changes, web.ConfigChange{Field: "deadLetter", Label: web.T(ctx, "field.deadletter"), Before: before.DeadLetter, After: after.DeadLetter})
	}
	if c.Gate.May(ctx, "lambda:UpdateFunctionConfiguration", c.ARNs.Function(f.Name, "")) {
		return changes
	}
	return c.hideValues(ctx, changes)
}

func (c *Console) hideValues(ctx context.Context, changes []web.ConfigChange) []web.ConfigChange {
	hidden := web.T(ctx, "field.hidden")
	for i := range changes {
		if len(changes[i].Field) <= len("environment ") || changes[i].Field[:len("environment ")] != "environment " {
			continue
		}
		for _, v := range []*string{&changes[i].Before, &changes[i].After} {
			if *v != "" {
				*v = hidden
			}
		}
	}
	return changes
}

// revisionDiff opens both revisions and compares configuration and files.
func (c *Console) revisionDiff(ctx context.Context, f *lambda.Function, from, to int64) (*web.RevisionDiff, error) {
	a, err := c.Store.Revision(ctx, f.Name, from)
	if err != nil {
		return nil, err
	}
	b, err := c.Store.Revision(ctx, f.Name, to)
	if err != nil {
		return nil, err
	}
	d := &web.RevisionDiff{Config: c.configDiff(ctx, f, a.Config, b.Config), Same: a.Code.SHA256 == b.Code.SHA256}
	if d.Same {
		return d, nil
	}
	before, err := c.filesOf(ctx, a.Code)
	if err != nil {
		return nil, err
	}
	after, err := c.filesOf(ctx, b.Code)
	if err != nil {
		return nil, err
	}
	d.Files = diffFiles(before, after)
	return d, nil
}

// question is what a roll back would change.
func (c *Console) rollBackPage(e echo.Context) error {
	ctx := c.Context(e)
	f, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	r, err := c.Store.Revision(ctx, f.Name, numberIn(e.QueryParam("to"), 0))
	if err != nil {
		return err
	}
	q := web.RollBack{Name: f.Name, Current: f.Revision, To: changeOf(r), Diff: c.configDiff(ctx, f, f.Config, r.Config), NewCode: r.Code.SHA256 != f.Code.SHA256}
	if isHTMX(e) {
		return c.fragment(e, http.StatusOK, web.RollBackDialog(q))
	}
	return c.page(e, http.StatusOK, web.RollBackPage(q))
}

// rollBack makes a new revision of an old one. The old role is passed again, so the right to pass it is asked for.
func (c *Console) rollBack(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	to, revision := numberIn(e.FormValue("to"), 0), numberIn(e.FormValue("revision"), 0)
	f, err := c.Store.Function(ctx, name)
	if err != nil {
		return err
	}
	r, err := c.Store.Revision(ctx, name, to)
	if err != nil {
		return err
	}
	if r.Config.Role != f.Role {
		if err := c.mayPass(ctx, r.Config.Role); err != nil {
			return err
		}
	}
	if _, err := c.Store.RollBack(ctx, edge.Principal(ctx), name, revision, to); err != nil {
		return err
	}
	c.Engine.Changed(name)
	return c.redirect(e, web.FunctionPath(name, "versions"), "flash.rolledback")
}
