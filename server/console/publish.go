package console

import (
	"context"
	"math"
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

// publishStore is what publishing versions and pointing aliases at them needs.
type publishStore interface {
	PublishVersion(ctx context.Context, by iam.Principal, name string, p lambda.Publication) (*lambda.Version, error)
	DeleteVersion(ctx context.Context, by iam.Principal, name string, number int64) error
	Alias(ctx context.Context, function, name string) (*lambda.Alias, error)
	CreateAlias(ctx context.Context, by iam.Principal, a lambda.Alias) (*lambda.Alias, error)
	UpdateAlias(ctx context.Context, by iam.Principal, function, name string, u lambda.AliasUpdate) (*lambda.Alias, error)
	DeleteAlias(ctx context.Context, by iam.Principal, function, name string) error
}

func (c *Console) publishRoutes() []Route {
	fn := edge.OnFunction("name")
	return []Route{
		route("GET", "/functions/:name/publish", "lambda:PublishVersion", fn, c.publishPage),
		route("POST", "/functions/:name/publish", "lambda:PublishVersion", fn, c.publish),
		route("GET", "/functions/:name/versions/:number/delete", "lambda:DeleteFunction", onVersion, c.deleteVersionPage),
		route("POST", "/functions/:name/versions/:number/delete", "lambda:DeleteFunction", onVersion, c.deleteVersion),
		route("GET", "/functions/:name/aliases", "lambda:CreateAlias", fn, c.newAliasPage),
		route("POST", "/functions/:name/aliases", "lambda:CreateAlias", fn, c.createAlias),
		route("GET", "/functions/:name/aliases/:alias", "lambda:UpdateAlias", fn, c.aliasPage),
		route("POST", "/functions/:name/aliases/:alias", "lambda:UpdateAlias", fn, c.updateAlias),
		route("POST", "/functions/:name/aliases/:alias/delete", "lambda:DeleteAlias", fn, c.deleteAlias),
	}
}

// onVersion is the ARN of one published version; a number that is none matches nothing.
func onVersion(a lambda.ARNs, p edge.Param) string {
	ref, err := lambda.ParseFunctionRef(p("name"))
	if err != nil || numberIn(p("number"), 0) == 0 {
		return a.Function("-", "-")
	}
	return a.Function(ref.Name, p("number"))
}

// complaint splits an error into what stands next to fields and what stands above the form; ok is false when a page must say it instead.
func complaint(ctx context.Context, err error) (fields map[string]string, above string, ok bool) {
	d := asDomain(err)
	if d.Kind == lambda.Internal || d.Kind == lambda.Denied {
		return nil, "", false
	}
	if len(d.Problems) > 0 {
		return problemTexts(ctx, d.Problems), "", true
	}
	return map[string]string{}, web.ErrorText(web.Of(ctx).Locale, d), true
}

func (c *Console) publishPage(e echo.Context) error {
	ctx := c.Context(e)
	f, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	return c.question(e, http.StatusOK, web.Publish{Name: f.Name, Current: f.Revision, RevisionID: f.RevisionID})
}

// question draws one of the small forms of Versions: over the page for htmx, else as a page of its own.
func (c *Console) question(e echo.Context, status int, q web.Question) error {
	if isHTMX(e) {
		return c.fragment(e, status, web.QuestionDialog(q))
	}
	return c.page(e, status, web.QuestionPage(q))
}

// publish keeps $LATEST as a version. AWS answers the newest version again when nothing has changed since; so does this.
func (c *Console) publish(e echo.Context) error {
	ctx, name, began := c.Context(e), e.Param("name"), c.Now().Truncate(time.Microsecond)
	p := lambda.Publication{Description: strings.TrimSpace(e.FormValue("description")), RevisionID: e.FormValue("revisionId")}
	v, err := c.Store.PublishVersion(ctx, edge.Principal(ctx), name, p)
	if err != nil {
		problems, above, ok := complaint(ctx, err)
		f, ferr := c.Store.Function(ctx, name)
		if !ok || ferr != nil {
			return err
		}
		return c.question(e, http.StatusUnprocessableEntity,
			web.Publish{Name: name, Current: f.Revision, RevisionID: f.RevisionID, Description: p.Description, Problems: problems, Above: above})
	}
	c.Engine.Changed(name)
	flash := "flash.published"
	if v.At.Before(began) {
		flash = "flash.published.same"
	}
	return c.redirect(e, web.FunctionPath(name, "versions"), flash)
}

func (c *Console) deleteVersionPage(e echo.Context) error {
	ctx := c.Context(e)
	f, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	return c.question(e, http.StatusOK, web.DeleteVersion{Name: f.Name, Number: numberIn(e.Param("number"), 0)})
}

func (c *Console) deleteVersion(e echo.Context) error {
	ctx, name, number := c.Context(e), e.Param("name"), numberIn(e.Param("number"), 0)
	if err := c.Store.DeleteVersion(ctx, edge.Principal(ctx), name, number); err != nil {
		_, above, ok := complaint(ctx, err)
		if !ok {
			return err
		}
		return c.question(e, http.StatusConflict, web.DeleteVersion{Name: name, Number: number, Above: above})
	}
	c.Engine.Changed(name)
	return c.redirect(e, web.FunctionPath(name, "versions"), "flash.version.deleted")
}

func (c *Console) newAliasPage(e echo.Context) error {
	form := web.AliasForm{Function: e.Param("name"), IsNew: true, Version: e.QueryParam("version")}
	return c.aliasForm(e, http.StatusOK, form)
}

// aliasForm adds the versions that can be chosen; without a choice it is the newest.
func (c *Console) aliasForm(e echo.Context, status int, form web.AliasForm) error {
	versions, err := c.Store.Versions(c.Context(e), form.Function, 0, shownPublished)
	if err != nil {
		return err
	}
	for _, v := range slices.Backward(versions) {
		form.Versions = append(form.Versions, web.VersionChoice{Number: strconv.FormatInt(v.Number, 10), Description: v.Description})
	}
	if form.Version == "" && len(form.Versions) > 0 {
		form.Version = form.Versions[0].Number
	}
	return c.question(e, status, form)
}

func (c *Console) aliasPage(e echo.Context) error {
	a, err := c.Store.Alias(c.Context(e), e.Param("name"), e.Param("alias"))
	if err != nil {
		return err
	}
	form := web.AliasForm{Function: a.Function, Name: a.Name, Version: a.Version, Description: a.Description, RevisionID: a.RevisionID}
	for second, share := range a.Weights {
		form.Second, form.Share = second, strconv.FormatFloat(share*100, 'f', -1, 64)
	}
	return c.aliasForm(e, http.StatusOK, form)
}

// readAlias reads the form; weights is empty without a second version.
func (c *Console) readAlias(e echo.Context) (form web.AliasForm, weights map[string]float64, problems map[string]string) {
	ctx := c.Context(e)
	form = web.AliasForm{
		Function: e.Param("name"), Name: strings.TrimSpace(e.FormValue("alias")), Version: e.FormValue("version"), Second: e.FormValue("second"),
		Share: strings.TrimSpace(e.FormValue("share")), Description: strings.TrimSpace(e.FormValue("description")), RevisionID: e.FormValue("revisionId"),
	}
	weights = map[string]float64{}
	if form.Second == "" {
		return form, weights, nil
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(form.Share, "%"), 64)
	if err != nil || math.IsNaN(percent) || percent < 0 || percent > 100 {
		return form, nil, problemTexts(ctx, []lambda.Problem{{Field: "weights", Key: "range", Params: map[string]string{"min": "0 %", "max": "100 %"}}})
	}
	weights[form.Second] = percent / 100
	return form, weights, nil
}

func (c *Console) createAlias(e echo.Context) error {
	ctx := c.Context(e)
	form, weights, problems := c.readAlias(e)
	form.IsNew = true
	if problems != nil {
		return c.wrongAlias(e, form, problems, "")
	}
	a := lambda.Alias{Function: form.Function, Name: form.Name, Version: form.Version, Weights: weights, Description: form.Description}
	_, err := c.Store.CreateAlias(ctx, edge.Principal(ctx), a)
	return c.aliasSaved(e, form, err, "flash.alias.created")
}

// updateAlias moves an alias, also back to an older version: that is its roll back.
func (c *Console) updateAlias(e echo.Context) error {
	ctx := c.Context(e)
	form, weights, problems := c.readAlias(e)
	form.Name = e.Param("alias")
	if problems != nil {
		return c.wrongAlias(e, form, problems, "")
	}
	u := lambda.AliasUpdate{Version: &form.Version, Weights: &weights, Description: &form.Description, RevisionID: form.RevisionID}
	_, err := c.Store.UpdateAlias(ctx, edge.Principal(ctx), form.Function, form.Name, u)
	return c.aliasSaved(e, form, err, "flash.alias.moved")
}

func (c *Console) aliasSaved(e echo.Context, form web.AliasForm, err error, flash string) error {
	if err != nil {
		problems, above, ok := complaint(c.Context(e), err)
		if !ok {
			return err
		}
		return c.wrongAlias(e, form, problems, above)
	}
	c.Engine.Changed(form.Function)
	return c.redirect(e, web.FunctionPath(form.Function, "versions"), flash)
}

func (c *Console) wrongAlias(e echo.Context, form web.AliasForm, problems map[string]string, above string) error {
	form.Problems, form.Above = problems, above
	return c.aliasForm(e, http.StatusUnprocessableEntity, form)
}

func (c *Console) deleteAlias(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	if err := c.Store.DeleteAlias(ctx, edge.Principal(ctx), name, e.Param("alias")); err != nil {
		return err
	}
	c.Engine.Changed(name)
	return c.redirect(e, web.FunctionPath(name, "versions"), "flash.alias.deleted")
}
