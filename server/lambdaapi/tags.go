package lambdaapi

import (
	"regexp"
	"strings"
)

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
