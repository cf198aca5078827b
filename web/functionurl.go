package web

import "context"

// FunctionURL is the page of a function's own address.
type FunctionURL struct {
	ConfigurePart
	Address, OnPath      string // "" while there is none; OnPath works where *.localhost does not resolve
	AuthType, InvokeMode string
	CORS                 CORSForm
	Public               bool   // the statement SID is in the resource policy
	SID                  string // of the statement that lets everybody call
	Region               string
}

// CORSForm is a cross-origin rule as it was typed; lists have commas.
type CORSForm struct {
	Origins, Methods, Headers, Expose, MaxAge string
	Credentials                               bool
}

func (u FunctionURL) action() string {
	if u.Address == "" {
		return u.path("")
	}
	return u.path("/change")
}

// curl is the command that calls an address; with AWS_IAM it signs.
func (u FunctionURL) curl(address string) string {
	if u.AuthType == "NONE" {
		return "curl " + address
	}
	return `curl --aws-sigv4 aws:amz:` + u.Region + `:lambda --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" ` + address
}

func (u FunctionURL) cors(ctx context.Context, name, problem, value, hint string) Field {
	f := mono(u.field(name, T(ctx, "url.cors."+name), value))
	f.Error, f.Hint = u.Problems[problem], hint
	return f
}

func (u FunctionURL) maxAgeField(ctx context.Context) Field {
	f := numeric(u.cors(ctx, "corsMaxAge", "cors.maxAge", u.CORS.MaxAge, ""), T(ctx, "unit.sec"))
	f.Mono = false
	return f
}

func (u FunctionURL) hasCORS() bool {
	return u.CORS != CORSForm{} || u.Problems["cors.maxAge"] != "" || u.Problems["cors.allowMethods"] != ""
}
