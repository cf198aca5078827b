package lambdaapi

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kiln/lambda"
)

type wireAlias struct {
	AliasArn        string
	Name            string
	FunctionVersion string
	Description     string
	RoutingConfig   *wireRouting `json:",omitempty"`
	RevisionId      string
}

type wireRouting struct{ AdditionalVersionWeights map[string]float64 }

type aliasInput struct {
	Name            string
	FunctionVersion *string
	Description     *string
	RoutingConfig   *wireRouting
	RevisionId      string
}

func (a *API) alias(l *lambda.Alias) wireAlias {
	w := wireAlias{AliasArn: a.ARNs.Function(l.Function, l.Name), Name: l.Name, FunctionVersion: l.Version, Description: l.Description, RevisionId: l.RevisionID}
	if len(l.Weights) > 0 {
		w.RoutingConfig = &wireRouting{l.Weights}
	}
	return w
}

const aliasPattern = `(?!^[0-9]+$)([a-zA-Z0-9-_]+)`

var (
	aliasForm   = regexp.MustCompile(`^[a-zA-Z0-9-_]+$`)
	versionForm = regexp.MustCompile(`^(\$LATEST|[0-9]+)$`)
)

func isAlias(s string) bool { return aliasForm.MatchString(s) && !isNumber(s) }

func (in *aliasInput) check() error {
	var k checks
	if in.FunctionVersion != nil {
		k.pattern(versionForm.MatchString(*in.FunctionVersion), *in.FunctionVersion, "functionVersion", `(\$LATEST|[0-9]+)`)
	}
	if in.Description != nil {
		k.most(*in.Description, "description", 256)
	}
	if in.RoutingConfig != nil {
		checkWeights(&k, in.RoutingConfig.AdditionalVersionWeights)
	}
	if err := k.err(); err != nil {
		return err
	}
	return in.weightRules()
}

func checkWeights(k *checks, weights map[string]float64) {
	for v, share := range weights {
		if !isNumber(v) {
			k.add(weightText(weights), "routingConfig.additionalVersionWeights", "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]")
			return
		}
		if share < 0 || share > 1 {
			k.add(weightText(weights), "routingConfig.additionalVersionWeights", "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]")
			return
		}
	}
}

// weightText is the map as AWS prints it: {2=0.5}.
func weightText(weights map[string]float64) string {
	var parts []string
	for _, v := range slices.Sorted(maps.Keys(weights)) {
		share := strconv.FormatFloat(weights[v], 'f', -1, 64)
		if !strings.Contains(share, ".") {
			share += ".0"
		}
		parts = append(parts, v+"="+share)
	}
	return "'{" + strings.Join(parts, ", ") + "}'"
}

func (in *aliasInput) weightRules() error {
	if in.RoutingConfig == nil || len(in.RoutingConfig.AdditionalVersionWeights) == 0 {
		return nil
	}
	w := in.RoutingConfig.AdditionalVersionWeights
	if len(w) > 1 {
		return invalidValue("Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	if in.FunctionVersion == nil {
		return nil
	}
	if *in.FunctionVersion == lambda.Latest {
		return invalidValue("$LATEST is not supported for an alias pointing to more than 1 version")
	}
	if _, twice := w[*in.FunctionVersion]; twice {
		return invalidValue("Invalid function version %s. Function version %s is already included in routing configuration.", *in.FunctionVersion, *in.FunctionVersion)
	}
	return nil
}

func createAlias(c *call) (any, error) {
	var in aliasInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var k checks
	k.present(in.Name != "", "name")
	k.present(in.FunctionVersion != nil, "functionVersion")
	if in.Name != "" {
		k.pattern(isAlias(in.Name), in.Name, "name", aliasPattern)
		k.most(in.Name, "name", 128)
	}
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	a := lambda.Alias{Function: c.function, Name: in.Name, Version: *in.FunctionVersion}
	if in.Description != nil {
		a.Description = *in.Description
	}
	if in.RoutingConfig != nil {
		a.Weights = in.RoutingConfig.AdditionalVersionWeights
	}
	c.qualifier = a.Version // what is missing is named with it
	made, err := c.api.Store.CreateAlias(c.ctx(), c.who, a)
	if lambda.KeyOf(err) == "alias.exists" {
		return nil, conflict("Alias already exists: %s", c.api.ARNs.Function(c.function, in.Name))
	}
	if err != nil {
		return nil, err
	}
	c.changed()
	return c.api.alias(made), nil
}

// aliasOf is the alias that the path names.
func (c *call) aliasOf(err error, name string) error {
	if lambda.KeyOf(err) == "alias.missing" || lambda.KeyOf(err) == "function.missing" {
		return notFound("Cannot find alias arn: %s", c.api.ARNs.Function(c.function, name))
	}
	return err
}

func getAlias(c *call) (any, error) {
	a, err := c.api.Store.Alias(c.ctx(), c.function, c.path[1])
	if err != nil {
		return nil, c.aliasOf(err, c.path[1])
	}
	return c.api.alias(a), nil
}

func listAliases(c *call) (any, error) {
	limit, err := c.limit(1000)
	if err != nil {
		return nil, err
	}
	after, err := c.marker()
	if err != nil {
		return nil, err
	}
	all, err := c.api.Store.Aliases(c.ctx(), c.function, c.query.Get("FunctionVersion"), after, min(limit+1, 1000))
	if err != nil {
		return nil, err
	}
	all, next := page(all, limit, func(a *lambda.Alias) string { return a.Name })
	out := struct {
		NextMarker string `json:",omitempty"`
		Aliases    []wireAlias
	}{next, []wireAlias{}}
	for _, a := range all {
		out.Aliases = append(out.Aliases, c.api.alias(a))
	}
	return out, nil
}

func updateAlias(c *call) (any, error) {
	var in aliasInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	name := c.path[1]
	u := lambda.AliasUpdate{Version: in.FunctionVersion, Description: in.Description, RevisionID: in.RevisionId}
	if in.RoutingConfig != nil {
		u.Weights = &in.RoutingConfig.AdditionalVersionWeights
	}
	if in.FunctionVersion != nil {
		c.qualifier = *in.FunctionVersion
	}
	a, err := c.api.Store.UpdateAlias(c.ctx(), c.who, c.function, name, u)
	switch lambda.KeyOf(err) {
	case "alias.missing":
		return nil, notFound("Alias not found: %s", c.api.ARNs.Function(c.function, name))
	case "function.missing":
		return nil, c.aliasOf(err, name)
	}
	if err != nil {
		return nil, err
	}
	c.changed()
	return c.api.alias(a), nil
}

func deleteAlias(c *call) (any, error) {
	err := c.api.Store.DeleteAlias(c.ctx(), c.who, c.function, c.path[1])
	if err != nil {
		return nil, err
	}
	c.policiesChanged()
	c.changed()
	return nil, nil
}
