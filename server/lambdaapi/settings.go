package lambdaapi

import (
	"fmt"
	"regexp"
	"strings"

	"kiln/lambda"
)

func putConcurrency(c *call) (any, error) {
	var in struct{ ReservedConcurrentExecutions *int }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.unqualified(); err != nil {
		return nil, err
	}
	var k checks
	k.present(in.ReservedConcurrentExecutions != nil, "reservedConcurrentExecutions")
	k.between(in.ReservedConcurrentExecutions, "reservedConcurrentExecutions", 0, 1<<30)
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := c.reservable(*in.ReservedConcurrentExecutions); err != nil {
		return nil, err
	}
	f, err := c.api.Store.UpdateFunction(c.ctx(), c.who, c.function, 0, lambda.FunctionUpdate{Reserved: &in.ReservedConcurrentExecutions})
	if err != nil {
		return nil, err
	}
	c.changed()
	return concurrency{*f.Reserved}, nil
}

// reservable words AWS's two rules about what the account can spare, and the one about provisioned concurrency.
func (c *call) reservable(want int) error {
	f, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return err
	}
	account, reserved, err := c.api.Store.Concurrency(c.ctx())
	if err != nil {
		return err
	}
	if f.Reserved != nil {
		reserved -= *f.Reserved
	}
	free := account - reserved
	var text string
	switch {
	case want > free:
		text = fmt.Sprintf("Specified ReservedConcurrentExecutions for function is greater than account's unreserved concurrency [%d].", free)
	case want > 0 && free-want < lambda.MinUnreserved:
		text = fmt.Sprintf("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", lambda.MinUnreserved)
	default:
		total, err := c.provisionedTotal()
		if err != nil || want >= total {
			return err
		}
		text = fmt.Sprintf(" ReservedConcurrentExecutions  %d should not be lower than function's total provisioned concurrency [%d].", want, total)
	}
	return &failure{status: 400, code: "InvalidParameterValueException", message: text, form: bareLower}
}

func getConcurrency(c *call) (any, error) {
	f, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return nil, err
	}
	if f.Reserved == nil {
		return struct{}{}, nil
	}
	return concurrency{*f.Reserved}, nil
}

func deleteConcurrency(c *call) (any, error) {
	if err := c.unqualified(); err != nil {
		return nil, err
	}
	var none *int
	_, err := c.api.Store.UpdateFunction(c.ctx(), c.who, c.function, 0, lambda.FunctionUpdate{Reserved: &none})
	if err == nil {
		c.changed()
	}
	return nil, err
}

type wireDestination struct {
	Destination string `json:",omitempty"`
}

type wireDestinations struct {
	OnSuccess *wireDestination `json:",omitempty"`
	OnFailure *wireDestination `json:",omitempty"`
}

type asyncInput struct {
	MaximumRetryAttempts     *int
	MaximumEventAgeInSeconds *int
	DestinationConfig        *wireDestinations
}

type wireAsync struct {
	LastModified             float64
	FunctionArn              string
	MaximumRetryAttempts     *int              `json:",omitempty"`
	MaximumEventAgeInSeconds *int              `json:",omitempty"`
	DestinationConfig        *wireDestinations `json:",omitempty"`
}

func (a *API) async(c *lambda.EventInvokeConfig) wireAsync {
	w := wireAsync{LastModified: float64(c.UpdatedAt.UnixMilli()) / 1000, FunctionArn: a.ARNs.Function(c.Function, c.Qualifier),
		MaximumRetryAttempts: c.MaxRetries, MaximumEventAgeInSeconds: c.MaxAgeSec, DestinationConfig: &wireDestinations{&wireDestination{}, &wireDestination{}}}
	w.DestinationConfig.OnSuccess.Destination = c.OnSuccess
	w.DestinationConfig.OnFailure.Destination = c.OnFailure
	return w
}

const destinationPattern = `$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)`

var destinationForm = regexp.MustCompile(`^($|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*))$`)

func (d *wireDestinations) targets() (success, failure *string) {
	if d == nil {
		return nil, nil
	}
	if d.OnSuccess != nil {
		success = &d.OnSuccess.Destination
	}
	if d.OnFailure != nil {
		failure = &d.OnFailure.Destination
	}
	return success, failure
}

// text is the configuration as AWS prints it in a refusal.
func (d *wireDestinations) text() string {
	one := func(name string, w *wireDestination) string {
		if w == nil {
			return "null"
		}
		return name + "(destination=" + w.Destination + ")"
	}
	return "DestinationConfig(onSuccess=" + one("OnSuccess", d.OnSuccess) + ", onFailure=" + one("OnFailure", d.OnFailure) + ")"
}

func (in *asyncInput) check() error {
	var k checks
	k.between(in.MaximumRetryAttempts, "maximumRetryAttempts", 0, 2)
	k.between(in.MaximumEventAgeInSeconds, "maximumEventAgeInSeconds", 60, 21_600)
	success, failure := in.DestinationConfig.targets()
	for _, d := range []struct {
		field string
		arn   *string
	}{{"destinationConfig.onSuccess.destination", success}, {"destinationConfig.onFailure.destination", failure}} {
		if d.arn != nil {
			k.pattern(destinationForm.MatchString(*d.arn), *d.arn, d.field, destinationPattern)
		}
	}
	if err := k.err(); err != nil {
		return err
	}
	for _, arn := range []*string{success, failure} {
		if arn != nil && !destinationService(*arn) {
			return invalidValue("The provided destination config %s is invalid.", in.DestinationConfig.text())
		}
	}
	if in.MaximumRetryAttempts == nil && in.MaximumEventAgeInSeconds == nil && in.DestinationConfig == nil {
		return invalidValue("You must specify at least one of error handling or destination setting.")
	}
	return nil
}

// destinationService says whether a destination is of a kind that exists.
func destinationService(arn string) bool {
	if arn == "" {
		return true
	}
	parts := strings.SplitN(arn, ":", 6)
	switch parts[2] {
	case "lambda", "sqs", "sns", "events", "s3":
		return true
	}
	return false
}

// asyncQualifier is the one that the configuration is of; the bare function's is $LATEST.
func (c *call) asyncQualifier() string {
	if c.qualifier == "" {
		return lambda.Latest
	}
	return c.qualifier
}

func putAsync(c *call) (any, error) {
	var in asyncInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	cfg := lambda.EventInvokeConfig{Function: c.function, Qualifier: c.asyncQualifier(), MaxRetries: in.MaximumRetryAttempts, MaxAgeSec: in.MaximumEventAgeInSeconds}
	success, failure := in.DestinationConfig.targets()
	cfg.OnSuccess, cfg.OnFailure = *orEmpty(success), *orEmpty(failure)
	kept, err := c.api.Store.PutAsyncConfig(c.ctx(), c.who, cfg)
	return c.asyncAnswer(kept, err)
}

func (c *call) asyncAnswer(cfg *lambda.EventInvokeConfig, err error) (any, error) {
	switch lambda.KeyOf(err) {
	case "async.missing":
		return nil, notFound("The function %s doesn't have an EventInvokeConfig", c.api.ARNs.Function(c.function, c.asyncQualifier()))
	case "function.missing", "version.missing", "alias.missing":
		return nil, notFound("The function doesn't exist.")
	}
	if err != nil {
		return nil, err
	}
	c.changed()
	return c.api.async(cfg), nil
}

func updateAsync(c *call) (any, error) {
	var in asyncInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	u := lambda.AsyncUpdate{MaxRetries: in.MaximumRetryAttempts, MaxAgeSec: in.MaximumEventAgeInSeconds}
	u.OnSuccess, u.OnFailure = in.DestinationConfig.targets()
	kept, err := c.api.Store.UpdateAsyncConfig(c.ctx(), c.who, c.function, c.asyncQualifier(), u)
	return c.asyncAnswer(kept, err)
}

func getAsync(c *call) (any, error) {
	cfg, err := c.api.Store.AsyncConfig(c.ctx(), c.function, c.asyncQualifier())
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, notFound("The function %s doesn't have an EventInvokeConfig", c.api.ARNs.Function(c.function, c.asyncQualifier()))
	}
	if err != nil {
		return nil, err
	}
	return c.api.async(cfg), nil
}

func deleteAsync(c *call) (any, error) {
	err := c.api.Store.DeleteAsyncConfig(c.ctx(), c.who, c.function, c.asyncQualifier())
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, notFound("The function %s doesn't have an EventInvokeConfig", c.api.ARNs.Function(c.function, c.asyncQualifier()))
	}
	if err == nil {
		c.changed()
	}
	return nil, err
}

func listAsync(c *call) (any, error) {
	limit, err := c.limit(50)
	if err != nil {
		return nil, err
	}
	after, err := c.marker()
	if err != nil {
		return nil, err
	}
	all, err := c.api.Store.AsyncConfigs(c.ctx(), c.function, after, limit+1)
	if lambda.KeyOf(err) == "function.missing" {
		return nil, notFound("The function doesn't exist.")
	}
	if err != nil {
		return nil, err
	}
	all, next := page(all, limit, func(e lambda.EventInvokeConfig) string { return e.Qualifier })
	out := struct {
		NextMarker                 string `json:",omitempty"`
		FunctionEventInvokeConfigs []wireAsync
	}{next, []wireAsync{}}
	for i := range all {
		out.FunctionEventInvokeConfigs = append(out.FunctionEventInvokeConfigs, c.api.async(&all[i]))
	}
	return out, nil
}

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

const resourcePattern = `arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)`

var resourceForm = regexp.MustCompile(`^` + resourcePattern + `$`)

// decodeTagged reads the function whose ARN the path names.
func decodeTagged(c *call) error {
	arn := c.path[0]
	var k checks
	k.pattern(resourceForm.MatchString(arn), arn, "resource", resourcePattern)
	if err := k.err(); err != nil {
		return err
	}
	if !strings.Contains(arn, ":function:") {
		return nil
	}
	if err := c.readFunction(arn); err != nil {
		return err
	}
	if c.qualifier != "" {
		return invalidValue("Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return nil
}

// tagged refuses what has no tags here.
func (c *call) tagged() error {
	switch arn := c.path[0]; {
	case c.function != "":
		return nil
	case strings.Contains(arn, ":event-source-mapping:"):
		return notFound("Event source mapping not found: %s", arn)
	case strings.Contains(arn, ":capacity-provider:"):
		return notFound("Capacity provider not found: %s", arn)
	}
	return notFound("The resource you requested does not exist.")
}

func listTags(c *call) (any, error) {
	if err := c.tagged(); err != nil {
		return nil, err
	}
	f, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return nil, err
	}
	tags := f.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return struct{ Tags map[string]string }{tags}, nil
}

func tagResource(c *call) (any, error) {
	var in struct{ Tags map[string]string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.tagged(); err != nil {
		return nil, err
	}
	if len(in.Tags) == 0 {
		return nil, invalidValue("An error occurred and the request cannot be processed.")
	}
	return nil, c.changeTags(in.Tags, nil)
}

func (c *call) changeTags(set map[string]string, remove []string) error {
	err := c.api.Store.ChangeTags(c.ctx(), c.who, c.function, set, remove)
	if hasProblem(err, "tags", "count") {
		return invalidValue("Number of tags exceeds resource tag limit.")
	}
	return err
}

func untagResource(c *call) (any, error) {
	keys := c.query["tagKeys"]
	var k checks
	k.present(len(keys) > 0, "tagKeys")
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := c.tagged(); err != nil {
		return nil, err
	}
	return nil, c.changeTags(nil, keys)
}

func getAccountSettings(c *call) (any, error) {
	functions, bytes, err := c.api.Store.AccountUsage(c.ctx())
	if err != nil {
		return nil, err
	}
	limit, reserved, err := c.api.Store.Concurrency(c.ctx())
	if err != nil {
		return nil, err
	}
	type limits struct {
		TotalCodeSize                  int64
		CodeSizeUnzipped               int64
		CodeSizeZipped                 int64
		ConcurrentExecutions           int
		UnreservedConcurrentExecutions int
	}
	type usage struct {
		TotalCodeSize int64
		FunctionCount int
	}
	return struct {
		AccountLimit limits
		AccountUsage usage
	}{limits{80_530_636_800, lambda.MaxUnzipped, lambda.MaxZip, limit, limit - reserved}, usage{bytes, functions}}, nil
}
