package lambdaapi

import (
	"regexp"
	"strings"

	"kiln/lambda"
)

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
