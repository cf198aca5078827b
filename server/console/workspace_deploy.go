package console

import (
	"bytes"
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
)

type deployRequest struct {
	draftEdit
	Note string `json:"note"`
}

// deployDraft makes the draft the next revision: save what came along, build, write, forget the draft.
func (c *Console) deployDraft(e echo.Context) error {
	var in deployRequest
	if err := decodeJSON(e, &in, maxDraftBody); err != nil {
		return err
	}
	ctx := c.Context(e)
	fn, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	saved, err := c.save(ctx, fn, in.draftEdit)
	if err != nil {
		return err
	}
	if err := c.deploySaved(ctx, fn, in, saved); err != nil {
		return c.failSaved(e, saved, err)
	}
	b, err := c.bench(ctx, fn.Name)
	if err != nil {
		return err
	}
	s, err := c.stateOf(ctx, b)
	if err != nil {
		return err
	}
	return e.JSON(http.StatusOK, s)
}

func (c *Console) deploySaved(ctx context.Context, fn *lambda.Function, in deployRequest, saved *savedJSON) error {
	d, err := c.Store.Draft(ctx, edge.Principal(ctx).UserID, fn.Name)
	if err != nil {
		return err
	}
	if seq := seqNow(in.draftEdit, saved); d.Seq != seq {
		return lambda.E(lambda.Conflict, "draft.changed")
	}
	zip, err := c.mergedBytes(ctx, fn, d)
	if err != nil {
		return err
	}
	if _, err := c.deployZip(ctx, fn, d.Base, zip, in.Note); err != nil {
		return err
	}
	return c.Store.DiscardDraft(ctx, edge.Principal(ctx).UserID, fn.Name)
}

func seqNow(in draftEdit, saved *savedJSON) int64 {
	if saved != nil {
		return saved.Seq
	}
	return in.Seq
}

// deployZip writes a package as the next revision after base. Configuration that changed since base is no conflict; code is.
func (c *Console) deployZip(ctx context.Context, fn *lambda.Function, base int64, zip []byte, note string) (*lambda.Function, error) {
	revision := fn.Revision
	if base > 0 && base != fn.Revision {
		old, err := c.codeOf(ctx, fn, base)
		if err != nil {
			return nil, err
		}
		if old.SHA256 != fn.Code.SHA256 {
			return nil, lambda.E(lambda.Conflict, "function.changed", "function", fn.Name, "by", fn.UpdatedBy)
		}
	}
	pkg, err := c.Store.PutCode(ctx, bytes.NewReader(zip))
	if err != nil {
		return nil, err
	}
	updated, err := c.Store.UpdateFunction(ctx, edge.Principal(ctx), fn.Name, revision, lambda.FunctionUpdate{Code: &pkg, Note: note})
	if err != nil {
		return nil, err
	}
	c.packages.put(pkg.SHA256, zip)
	c.Engine.Changed(fn.Name)
	return updated, nil
}

// savedError is an error after the draft was saved: the page must know of both.
type savedError struct {
	errorJSON
	Saved *savedJSON `json:"saved"`
}

// failSaved answers an error together with the save that went before it.
func (c *Console) failSaved(e echo.Context, saved *savedJSON, err error) error {
	if saved == nil {
		return err
	}
	ctx := c.Context(e)
	known := asDomain(err)
	status := edge.Status(known)
	if status == http.StatusInternalServerError {
		c.Log.ErrorContext(ctx, "request failed", "error", err, "path", e.Request().URL.Path, "request", edge.RequestID(ctx))
	}
	return e.JSON(status, savedError{Saved: saved, errorJSON: errorJSON{Key: known.Key, Message: oops(ctx, status, known).Text, RequestID: edge.RequestID(ctx)}})
}
