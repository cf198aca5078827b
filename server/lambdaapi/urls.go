package lambdaapi

import (
	"kiln/lambda"
)

type wireCORS struct {
	AllowCredentials *bool    `json:",omitempty"`
	AllowHeaders     []string `json:",omitempty"`
	AllowMethods     []string `json:",omitempty"`
	AllowOrigins     []string `json:",omitempty"`
	ExposeHeaders    []string `json:",omitempty"`
	MaxAge           *int     `json:",omitempty"`
}

type wireURL struct {
	FunctionUrl      string
	FunctionArn      string
	AuthType         string
	Cors             *wireCORS `json:",omitempty"`
	CreationTime     string
	LastModifiedTime string `json:",omitempty"`
	InvokeMode       string `json:",omitempty"`
}

func (a *API) url(u *lambda.URLConfig, withTimes bool) wireURL {
	w := wireURL{FunctionUrl: a.FunctionURL(u.ID), FunctionArn: a.ARNs.Function(u.Function, u.Qualifier), AuthType: u.AuthType,
		CreationTime: u.CreatedAt.UTC().Format("2006-01-02T15:04:05.000000Z"), InvokeMode: u.InvokeMode}
	if withTimes {
		w.LastModifiedTime = u.UpdatedAt.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	if c := u.CORS; c != nil {
		w.Cors = &wireCORS{AllowHeaders: c.AllowHeaders, AllowMethods: c.AllowMethods, AllowOrigins: c.AllowOrigins, ExposeHeaders: c.ExposeHeaders}
		if c.AllowCredentials {
			w.Cors.AllowCredentials = &c.AllowCredentials
		}
		if c.MaxAge != 0 {
			w.Cors.MaxAge = &c.MaxAge
		}
	}
	return w
}

func (w *wireCORS) domain() *lambda.CORS {
	if w == nil {
		return nil
	}
	c := &lambda.CORS{AllowHeaders: w.AllowHeaders, AllowMethods: w.AllowMethods, AllowOrigins: w.AllowOrigins, ExposeHeaders: w.ExposeHeaders}
	if w.AllowCredentials != nil {
		c.AllowCredentials = *w.AllowCredentials
	}
	if w.MaxAge != nil {
		c.MaxAge = *w.MaxAge
	}
	return c
}

type urlInput struct {
	AuthType   *string
	Cors       *wireCORS
	InvokeMode *string
}

// check also holds the qualifier to an alias.
func (in *urlInput) check(qualifier string) error {
	var k checks
	if qualifier != "" {
		k.pattern(isAlias(qualifier), qualifier, "qualifier", `((?!^\d+$)^[0-9a-zA-Z-_]+$)`)
	}
	if in.AuthType != nil {
		k.oneOf(*in.AuthType, "authType", "AWS_IAM", "NONE")
	}
	if in.InvokeMode != nil {
		k.oneOf(*in.InvokeMode, "invokeMode", "RESPONSE_STREAM", "BUFFERED")
	}
	if in.Cors != nil {
		k.between(in.Cors.MaxAge, "cors.maxAge", 0, 86_400)
	}
	return k.err()
}

func createURL(c *call) (any, error) {
	var in urlInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.AuthType == nil {
		var k checks
		k.present(false, "authType")
		return nil, k.err()
	}
	if err := in.check(c.qualifier); err != nil {
		return nil, err
	}
	u := lambda.URLConfig{Function: c.function, Qualifier: c.qualifier, AuthType: *in.AuthType, InvokeMode: "BUFFERED", CORS: in.Cors.domain()}
	if in.InvokeMode != nil {
		u.InvokeMode = *in.InvokeMode
	}
	made, err := c.api.Store.CreateURL(c.ctx(), c.who, u)
	switch lambda.KeyOf(err) {
	case "url.exists":
		return nil, conflict("Failed to create function url config for [functionArn = %s]. Error message:  FunctionUrlConfig exists for this Lambda function", c.arn())
	case "function.missing", "alias.missing":
		return nil, notFound("Function does not exist")
	}
	if err != nil {
		return nil, err
	}
	c.changed()
	return c.api.url(made, false), nil
}

func urlFailure(err error) error {
	if lambda.KeyOf(err) == "url.missing" || lambda.KeyOf(err) == "function.missing" || lambda.KeyOf(err) == "alias.missing" {
		return notFound("The resource you requested does not exist.")
	}
	return err
}

func getURL(c *call) (any, error) {
	if err := (&urlInput{}).check(c.qualifier); err != nil {
		return nil, err
	}
	u, err := c.api.Store.URL(c.ctx(), c.function, c.qualifier)
	if err != nil {
		return nil, urlFailure(err)
	}
	return c.api.url(u, true), nil
}

func updateURL(c *call) (any, error) {
	var in urlInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := in.check(c.qualifier); err != nil {
		return nil, err
	}
	u := lambda.URLUpdate{AuthType: in.AuthType, InvokeMode: in.InvokeMode}
	if in.Cors != nil {
		cors := in.Cors.domain()
		u.CORS = &cors
	}
	kept, err := c.api.Store.UpdateURL(c.ctx(), c.who, c.function, c.qualifier, u)
	if err != nil {
		return nil, urlFailure(err)
	}
	c.changed()
	return c.api.url(kept, true), nil
}

func deleteURL(c *call) (any, error) {
	if err := (&urlInput{}).check(c.qualifier); err != nil {
		return nil, err
	}
	err := c.api.Store.DeleteURL(c.ctx(), c.who, c.function, c.qualifier)
	if err == nil {
		c.changed()
	}
	return nil, urlFailure(err)
}

func listURLs(c *call) (any, error) {
	limit, err := c.limit(50)
	if err != nil {
		return nil, err
	}
	after, err := c.marker()
	if err != nil {
		return nil, err
	}
	all, err := c.api.Store.URLs(c.ctx(), c.function, after, limit+1)
	if err != nil {
		return nil, err
	}
	all, next := page(all, limit, func(u *lambda.URLConfig) string { return u.Qualifier })
	out := struct {
		NextMarker         string `json:",omitempty"`
		FunctionUrlConfigs []wireURL
	}{next, []wireURL{}}
	for _, u := range all {
		out.FunctionUrlConfigs = append(out.FunctionUrlConfigs, c.api.url(u, true))
	}
	return out, nil
}
