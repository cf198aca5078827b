package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// layerStore is what choosing layers needs.
type layerStore interface {
	Layers(ctx context.Context, f lambda.LayerFilter) ([]lambda.LayerVersion, error)
	LayerVersions(ctx context.Context, layer string, f lambda.LayerFilter) ([]lambda.LayerVersion, error)
}

func (c *Console) layerRoutes() []Route {
	fn := edge.OnFunction("name")
	return []Route{
		route("GET", "/functions/:name/configure/layers", "lambda:GetFunctionConfiguration", fn, c.layers),
		route("POST", "/functions/:name/configure/layers", "lambda:UpdateFunctionConfiguration", fn, c.saveLayers),
	}
}

func (c *Console) layers(e echo.Context) error {
	page, err := c.layersPage(c.Context(e), e.Param("name"))
	if err != nil {
		return err
	}
	page.Flash = c.flash(e)
	return c.page(e, http.StatusOK, web.LayersPage(page))
}

// How much can be chosen from: each layer's versions are a query of their own.
const shownLayers, shownLayerVersions = 50, 20

func (c *Console) layersPage(ctx context.Context, name string) (page web.Layers, err error) {
	f, err := c.Store.Function(ctx, name)
	if err != nil {
		return page, err
	}
	page = web.Layers{ConfigurePart: c.part(ctx, f, "layers"), Revision: f.Revision, Chosen: f.Layers}
	// Names of layers are shown to those who may list them; others still see and remove what the function has.
	if c.Gate.May(ctx, "lambda:ListLayers", "*") {
		if page.Known, err = c.Store.Layers(ctx, lambda.LayerFilter{Limit: shownLayers}); err != nil {
			return page, err
		}
	}
	for _, l := range page.Known {
		versions, err := c.Store.LayerVersions(ctx, l.Layer, lambda.LayerFilter{Limit: shownLayerVersions})
		if err != nil {
			return page, err
		}
		for _, v := range versions {
			number := strconv.FormatInt(v.Number, 10)
			page.Choices = append(page.Choices, web.LayerChoice{ARN: c.ARNs.LayerVersion(v.Layer, number), Label: v.Layer + ":" + number})
		}
	}
	for _, arn := range f.Layers {
		if !slices.ContainsFunc(page.Choices, func(l web.LayerChoice) bool { return l.ARN == arn }) {
			page.Choices = append(page.Choices, web.LayerChoice{ARN: arn, Label: arn})
		}
	}
	return page, nil
}

// saveLayers takes the layers in the order of their fields; empty fields are left out. Reading a layer that is new here is a right of its own.
func (c *Console) saveLayers(e echo.Context) error {
	ctx, name := c.Context(e), e.Param("name")
	form, err := e.FormParams()
	if err != nil {
		return lambda.E(lambda.Invalid, "input.invalid").Because(err)
	}
	chosen := slices.DeleteFunc(slices.Clone(form["layer"]), func(arn string) bool { return arn == "" })
	f, err := c.Store.Function(ctx, name)
	if err != nil {
		return err
	}
	for _, arn := range chosen {
		if slices.Contains(f.Layers, arn) {
			continue
		}
		row := edge.Row{Target: "use layer", Action: "lambda:GetLayerVersion", Resource: func(lambda.ARNs, edge.Param) string { return arn }}
		if err := c.Gate.Authorize(ctx, row, nil); err != nil {
			return err
		}
	}
	_, err = c.Store.UpdateFunction(ctx, edge.Principal(ctx), name, numberIn(e.FormValue("revision"), 0), lambda.FunctionUpdate{Layers: &chosen})
	if err == nil {
		c.Engine.Changed(name)
		return c.redirect(e, web.FunctionPath(name, "configure/layers"), "flash.configured")
	}
	fields, above, ok := complaint(ctx, err)
	if !ok {
		return err
	}
	page, err := c.layersPage(ctx, name)
	if err != nil {
		return err
	}
	page.Chosen, page.Problems, page.Above = chosen, fields, above
	return c.page(e, http.StatusUnprocessableEntity, web.LayersPage(page))
}
