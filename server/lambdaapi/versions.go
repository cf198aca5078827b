package lambdaapi

import (
	"kiln/lambda"
)

func publishVersion(c *call) (any, error) {
	var in struct {
		CodeSha256, RevisionId string
		Description            *string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var k checks
	if in.Description != nil {
		k.most(*in.Description, "description", 256)
	}
	if err := k.err(); err != nil {
		return nil, err
	}
	p := lambda.Publication{RevisionID: in.RevisionId}
	if in.Description != nil {
		p.Description = *in.Description
	}
	if in.CodeSha256 != "" {
		p.CodeSHA256 = hexSHA(in.CodeSha256)
	}
	v, err := c.api.Store.PublishVersion(c.ctx(), c.who, c.function, p)
	if lambda.KeyOf(err) == "version.code" {
		f, ferr := c.api.Store.Function(c.ctx(), c.function)
		if ferr != nil {
			return nil, ferr
		}
		return nil, invalidValue("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.", in.CodeSha256, base64SHA(f.Code.SHA256))
	}
	if err != nil {
		return nil, err
	}
	c.changed()
	return c.numbered(v, settled)
}

// listVersions lists $LATEST first.
func listVersions(c *call) (any, error) {
	limit, err := c.limit(1000)
	if err != nil {
		return nil, err
	}
	after, err := c.marker()
	if err != nil {
		return nil, err
	}
	f, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return nil, err
	}
	out := struct {
		NextMarker *string
		Versions   []configuration
	}{Versions: []configuration{}}
	if after == "" {
		cfg, err := c.latest(f, listed)
		if err != nil {
			return nil, err
		}
		cfg.FunctionArn += ":" + lambda.Latest
		out.Versions = append(out.Versions, cfg)
	}
	more, next, err := c.numberedPage(max(numberOf(after), 0), limit-len(out.Versions))
	if next != "" {
		out.NextMarker = &next
	}
	out.Versions = append(out.Versions, more...)
	return out, err
}

// numberedPage is up to room published versions after one, and the marker of what follows.
func (c *call) numberedPage(after int64, room int) ([]configuration, string, error) {
	all, err := c.api.Store.Versions(c.ctx(), c.function, after, min(room+1, 1000))
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(all) > room {
		all = all[:room]
		next = encodeMarker("0")
		if room > 0 {
			next = encodeMarker(numberText(all[room-1].Number))
		}
	}
	var out []configuration
	for _, v := range all {
		cfg, err := c.numbered(v, listed)
		if err != nil {
			return nil, "", err
		}
		out = append(out, cfg)
	}
	return out, next, nil
}
