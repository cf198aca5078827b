package lambdaapi

import (
	"regexp"
	"slices"
	"strings"

	"kiln/lambda"
)

type wireContent struct {
	Location   string
	CodeSha256 string
	CodeSize   int64
}

type wireLayerVersion struct {
	Content                 *wireContent `json:",omitempty"`
	LayerArn                string       `json:",omitempty"`
	LayerVersionArn         string
	Description             string
	CreatedDate             string
	Version                 int64
	CompatibleRuntimes      []string `json:",omitempty"`
	LicenseInfo             string   `json:",omitempty"`
	CompatibleArchitectures []string `json:",omitempty"`
}

func (a *API) layer(v *lambda.LayerVersion) wireLayerVersion {
	return wireLayerVersion{LayerVersionArn: a.ARNs.LayerVersion(v.Layer, numberText(v.Number)), Description: v.Description, CreatedDate: stampOf(v.At), Version: v.Number,
		CompatibleRuntimes: v.Runtimes, LicenseInfo: v.License, CompatibleArchitectures: v.Architectures}
}

// fullLayer also tells where the package is.
func (a *API) fullLayer(v *lambda.LayerVersion) wireLayerVersion {
	w := a.layer(v)
	w.LayerArn = a.ARNs.LayerVersion(v.Layer, "")
	w.Content = &wireContent{a.CodeURL(v.Code.SHA256), base64SHA(v.Code.SHA256), v.Code.Size}
	return w
}

var layerName = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,140}$`)

// readLayer takes a layer's name from a name or an ARN.
func (c *call) readLayer(raw string) (string, error) {
	name := raw
	if strings.HasPrefix(raw, "arn:") {
		parts := strings.Split(raw, ":")
		if len(parts) != 7 || parts[2] != "lambda" || parts[5] != "layer" {
			name = ""
		} else {
			name = parts[6]
		}
	}
	var k checks
	k.pattern(layerName.MatchString(name), raw, "layerName", `(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+`)
	return name, k.err()
}

// splitLayer takes the ARN of a layer version apart.
func splitLayer(arn string) (name string, number int64, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 8 || parts[2] != "lambda" || parts[5] != "layer" {
		return "", 0, false
	}
	return parts[6], numberOf(parts[7]), true
}

type layerInput struct {
	Description             string
	Content                 *codeInput
	CompatibleRuntimes      []string
	LicenseInfo             string
	CompatibleArchitectures []string
}

func (in *layerInput) check() error {
	var k checks
	k.present(in.Content != nil, "content")
	for _, r := range in.CompatibleRuntimes {
		if !slices.Contains(lambda.Runtimes, r) && !retired.MatchString(r) {
			k.add("'["+strings.Join(in.CompatibleRuntimes, ", ")+"]'", "compatibleRuntimes", "Member must satisfy enum value set: ["+strings.Join(lambda.Runtimes, ", ")+"]")
			break
		}
	}
	for _, a := range in.CompatibleArchitectures {
		if a != "x86_64" && a != "arm64" {
			k.add("'["+strings.Join(in.CompatibleArchitectures, ", ")+"]'", "compatibleArchitectures", "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]")
			break
		}
	}
	k.most(in.Description, "description", 256)
	k.most(in.LicenseInfo, "licenseInfo", 512)
	return k.err()
}

func publishLayer(c *call) (any, error) {
	var in layerInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	name, err := c.readLayer(c.path[0])
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	code, err := c.keepZip(in.Content)
	if err != nil {
		return nil, err
	}
	v, err := c.api.Store.PublishLayer(c.ctx(), c.who, lambda.LayerVersion{Layer: name, Description: in.Description, License: in.LicenseInfo,
		Runtimes: in.CompatibleRuntimes, Architectures: in.CompatibleArchitectures, Code: code})
	if err != nil {
		return nil, err
	}
	return c.api.fullLayer(v), nil
}

// layerVersion is the one that the path names.
func (c *call) layerVersion() (*lambda.LayerVersion, error) {
	name, err := c.readLayer(c.path[0])
	if err != nil {
		return nil, err
	}
	if numberOf(c.path[1]) < 1 {
		return nil, invalidValue("Layer Version Cannot be less than 1")
	}
	v, err := c.api.Store.LayerVersion(c.ctx(), name, numberOf(c.path[1]))
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, notFound("The resource you requested does not exist.")
	}
	return v, err
}

func getLayerVersion(c *call) (any, error) {
	v, err := c.layerVersion()
	if err != nil {
		return nil, err
	}
	return c.api.fullLayer(v), nil
}

func getLayerVersionByArn(c *call) (any, error) {
	arn := c.query.Get("Arn")
	var k checks
	k.pattern(layerForm.MatchString(arn), arn, "arn", layerPattern)
	if err := k.err(); err != nil {
		return nil, err
	}
	name, number, ok := splitLayer(arn)
	if !ok {
		return nil, notFound("The resource you requested does not exist.")
	}
	v, err := c.api.Store.LayerVersion(c.ctx(), name, number)
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, notFound("The resource you requested does not exist.")
	}
	if err != nil {
		return nil, err
	}
	return c.api.fullLayer(v), nil
}

func (c *call) layerFilter() (lambda.LayerFilter, int, string, error) {
	f := lambda.LayerFilter{Runtime: c.query.Get("CompatibleRuntime"), Architecture: c.query.Get("CompatibleArchitecture")}
	var k checks
	if f.Runtime != "" && !slices.Contains(lambda.Runtimes, f.Runtime) && !retired.MatchString(f.Runtime) {
		k.add(quoted(f.Runtime), "compatibleRuntime", "Member must satisfy enum value set: ["+strings.Join(lambda.Runtimes, ", ")+"]")
	}
	if f.Architecture != "" {
		k.oneOf(f.Architecture, "compatibleArchitecture", "x86_64", "arm64")
	}
	if err := k.err(); err != nil {
		return f, 0, "", err
	}
	limit, err := c.limit(50)
	if err != nil {
		return f, 0, "", err
	}
	f.Limit = limit + 1
	after, err := c.marker()
	return f, limit, after, err
}

func listLayers(c *call) (any, error) {
	f, limit, after, err := c.layerFilter()
	if err != nil {
		return nil, err
	}
	f.After = after
	all, err := c.api.Store.Layers(c.ctx(), f)
	if err != nil {
		return nil, err
	}
	all, next := page(all, limit, func(l lambda.LayerVersion) string { return l.Layer })
	type item struct {
		LayerName             string
		LayerArn              string
		LatestMatchingVersion wireLayerVersion
	}
	out := struct {
		NextMarker string `json:",omitempty"`
		Layers     []item
	}{next, []item{}}
	for i := range all {
		out.Layers = append(out.Layers, item{all[i].Layer, c.api.ARNs.LayerVersion(all[i].Layer, ""), c.api.layer(&all[i])})
	}
	return out, nil
}

func listLayerVersions(c *call) (any, error) {
	name, err := c.readLayer(c.path[0])
	if err != nil {
		return nil, err
	}
	f, limit, before, err := c.layerFilter()
	if err != nil {
		return nil, err
	}
	f.Before = max(numberOf(before), 0)
	all, err := c.api.Store.LayerVersions(c.ctx(), name, f)
	if err != nil {
		return nil, err
	}
	all, next := page(all, limit, func(l lambda.LayerVersion) string { return numberText(l.Number) })
	out := struct {
		NextMarker    string `json:",omitempty"`
		LayerVersions []wireLayerVersion
	}{next, []wireLayerVersion{}}
	for i := range all {
		out.LayerVersions = append(out.LayerVersions, c.api.layer(&all[i]))
	}
	return out, nil
}

func deleteLayerVersion(c *call) (any, error) {
	name, err := c.readLayer(c.path[0])
	if err != nil {
		return nil, err
	}
	if numberOf(c.path[1]) < 1 {
		return nil, invalidValue("Layer Version Cannot be less than 1")
	}
	return nil, c.api.Store.DeleteLayerVersion(c.ctx(), c.who, name, numberOf(c.path[1]))
}
