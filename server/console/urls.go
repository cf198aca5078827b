package console

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// urlStore is what function URLs need.
type urlStore interface {
	URL(ctx context.Context, function, qualifier string) (*lambda.URLConfig, error)
	CreateURL(ctx context.Context, by iam.Principal, c lambda.URLConfig) (*lambda.URLConfig, error)
	UpdateURL(ctx context.Context, by iam.Principal, function, qualifier string, u lambda.URLUpdate) (*lambda.URLConfig, error)
	DeleteURL(ctx context.Context, by iam.Principal, function, qualifier string) error
	Policy(ctx context.Context, on lambda.PolicySubject) (*lambda.ResourcePolicy, error)
	AddStatement(ctx context.Context, by iam.Principal, on lambda.PolicySubject, st lambda.PolicyStatement, revisionID string) (*lambda.ResourcePolicy, error)
	RemoveStatement(ctx context.Context, by iam.Principal, on lambda.PolicySubject, sid, revisionID string) error
}

func (c *Console) urlRoutes() []Route {
	fn := edge.OnFunction("name")
	return []Route{
		route("GET", "/functions/:name/configure/url", "lambda:GetFunctionUrlConfig", fn, c.url),
		route("POST", "/functions/:name/configure/url", "lambda:CreateFunctionUrlConfig", fn, c.createURL),
		route("POST", "/functions/:name/configure/url/change", "lambda:UpdateFunctionUrlConfig", fn, c.changeURL),
		route("POST", "/functions/:name/configure/url/delete", "lambda:DeleteFunctionUrlConfig", fn, c.deleteURL),
	}
}

// publicSID is the statement that AWS's console adds for AuthType NONE.
const publicSID = "FunctionURLAllowPublicAccess"

func (c *Console) url(e echo.Context) error {
	page, err := c.urlPage(c.Context(e), e.Param("name"))
	if err != nil {
		return err
	}
	page.Flash = c.flash(e)
	return c.page(e, http.StatusOK, web.URLPage(page))
}

func (c *Console) urlPage(ctx context.Context, name string) (page web.FunctionURL, err error) {
	f, err := c.Store.Function(ctx, name)
	if err != nil {
		return page, err
	}
	page = web.FunctionURL{ConfigurePart: c.part(ctx, f, "url"), AuthType: "AWS_IAM", InvokeMode: "BUFFERED", Region: c.ARNs.Region, SID: publicSID}
	if page.Public, err = c.isPublic(ctx, f.Name); err != nil {
		return page, err
	}
	u, err := c.Store.URL(ctx, f.Name, "")
	if lambda.KeyOf(err) == "url.missing" {
		return page, nil
	}
	if err != nil {
		return page, err
	}
	page.Address, page.OnPath = c.FunctionURL(u.ID), c.Gateway+"/_url/"+u.ID+"/"
	page.AuthType, page.InvokeMode = u.AuthType, u.InvokeMode
	if u.CORS != nil {
		page.CORS = web.CORSForm{Origins: joined(u.CORS.AllowOrigins), Methods: joined(u.CORS.AllowMethods), Headers: joined(u.CORS.AllowHeaders),
			Expose: joined(u.CORS.ExposeHeaders), Credentials: u.CORS.AllowCredentials}
		if u.CORS.MaxAge > 0 {
			page.CORS.MaxAge = strconv.Itoa(u.CORS.MaxAge)
		}
	}
	return page, nil
}

// isPublic says whether the statement that lets everybody call is there.
func (c *Console) isPublic(ctx context.Context, name string) (bool, error) {
	p, err := c.Store.Policy(ctx, lambda.PolicySubject{Function: name})
	if lambda.KeyOf(err) == "policy.missing" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(p.Statements, func(s lambda.PolicyStatement) bool { return s.SID == publicSID }), nil
}

// readURL reads the form; CORS without any value is no rule.
func readURL(e echo.Context) (form web.FunctionURL, cors *lambda.CORS, problems []lambda.Problem) {
	form = web.FunctionURL{AuthType: e.FormValue("authType"), InvokeMode: e.FormValue("invokeMode"), CORS: web.CORSForm{
		Origins: e.FormValue("origins"), Methods: e.FormValue("methods"), Headers: e.FormValue("headers"), Expose: e.FormValue("expose"),
		MaxAge: strings.TrimSpace(e.FormValue("corsMaxAge")), Credentials: e.FormValue("credentials") != ""}}
	rule := lambda.CORS{AllowOrigins: list(form.CORS.Origins), AllowMethods: list(strings.ToUpper(form.CORS.Methods)), AllowHeaders: list(form.CORS.Headers),
		ExposeHeaders: list(form.CORS.Expose), AllowCredentials: form.CORS.Credentials}
	if form.CORS.MaxAge != "" {
		n, err := strconv.Atoi(form.CORS.MaxAge)
		if err != nil {
			problems = append(problems, lambda.Problem{Field: "cors.maxAge", Key: "number"})
		}
		rule.MaxAge = n
	}
	if form.CORS != (web.CORSForm{}) {
		cors = &rule
	}
	return form, cors, problems
}

// list reads values with commas, blanks or lines between them.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}

func (c *Console) createURL(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	form, cors, problems := readURL(e)
	if len(problems) > 0 {
		return c.wrongURL(e, form, problemTexts(ctx, problems), "")
	}
	if err := c.mayPublish(ctx, name, form.AuthType); err != nil {
		return err
	}
	_, err := c.Store.CreateURL(ctx, edge.Principal(ctx), lambda.URLConfig{Function: name, AuthType: form.AuthType, InvokeMode: form.InvokeMode, CORS: cors})
	return c.urlSaved(e, form, err, "flash.url.created")
}

func (c *Console) changeURL(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	form, cors, problems := readURL(e)
	if len(problems) > 0 {
		return c.wrongURL(e, form, problemTexts(ctx, problems), "")
	}
	if err := c.mayPublish(ctx, name, form.AuthType); err != nil {
		return err
	}
	u := lambda.URLUpdate{AuthType: &form.AuthType, InvokeMode: &form.InvokeMode, CORS: &cors}
	_, err := c.Store.UpdateURL(ctx, edge.Principal(ctx), name, "", u)
	return c.urlSaved(e, form, err, "flash.configured")
}

func (c *Console) urlSaved(e echo.Context, form web.FunctionURL, err error, flash string) error {
	ctx, name := c.Context(e), e.Param("name")
	if err != nil {
		fields, above, ok := complaint(ctx, err)
		if !ok {
			return err
		}
		return c.wrongURL(e, form, fields, above)
	}
	if err := c.publicAccess(ctx, name, form.AuthType == "NONE"); err != nil {
		return err
	}
	c.Engine.Changed(name)
	return c.redirect(e, web.FunctionPath(name, "configure/url"), flash)
}

func (c *Console) wrongURL(e echo.Context, form web.FunctionURL, problems map[string]string, above string) error {
	page, err := c.urlPage(c.Context(e), e.Param("name"))
	if err != nil {
		return err
	}
	page.AuthType, page.InvokeMode, page.CORS = form.AuthType, form.InvokeMode, form.CORS
	page.Problems, page.Above = problems, above
	return c.page(e, http.StatusUnprocessableEntity, web.URLPage(page))
}

// mayPublish asks for the right to change the resource policy before anything is written, when the choice will change it.
func (c *Console) mayPublish(ctx context.Context, name, authType string) error {
	public, err := c.isPublic(ctx, name)
	if err != nil || public == (authType == "NONE") {
		return err
	}
	action := "lambda:RemovePermission"
	if authType == "NONE" {
		action = "lambda:AddPermission"
	}
	on := c.ARNs.Function(name, "")
	return c.Gate.Authorize(ctx, edge.Row{Target: "public URL", Action: action, Resource: func(lambda.ARNs, edge.Param) string { return on }}, nil)
}

// publicAccess adds or takes away the statement that lets everybody call the URL; either may be so already.
func (c *Console) publicAccess(ctx context.Context, name string, public bool) error {
	on := lambda.PolicySubject{Function: name}
	var err error
	if public {
		var text []byte
		if text, err = publicStatement(c.ARNs.Function(name, "")); err != nil {
			return err
		}
		_, err = c.Store.AddStatement(ctx, edge.Principal(ctx), on, lambda.PolicyStatement{SID: publicSID, Document: text}, "")
	} else {
		err = c.Store.RemoveStatement(ctx, edge.Principal(ctx), on, publicSID, "")
	}
	switch lambda.KeyOf(err) {
	case "statement.exists", "statement.missing", "policy.missing":
		return nil
	}
	if err == nil {
		c.PoliciesChanged()
	}
	return err
}

func publicStatement(resource string) ([]byte, error) {
	return json.Marshal(struct {
		Sid, Effect, Principal, Action, Resource string
		Condition                                map[string]map[string]string
	}{publicSID, "Allow", "*", "lambda:InvokeFunctionUrl", resource, map[string]map[string]string{"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}})
}

// deleteURL takes the address away, and with it what let everybody call.
func (c *Console) deleteURL(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	if err := c.mayPublish(ctx, name, ""); err != nil {
		return err
	}
	if err := c.Store.DeleteURL(ctx, edge.Principal(ctx), name, ""); err != nil && lambda.KeyOf(err) != "url.missing" {
		return err
	}
	if err := c.publicAccess(ctx, name, false); err != nil {
		return err
	}
	c.Engine.Changed(name)
	return c.redirect(e, web.FunctionPath(name, "configure/url"), "flash.url.deleted")
}
