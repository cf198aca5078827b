package console

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"kiln/server/edge"
	"kiln/web"
)

// homeStore is what Home needs.
type homeStore interface{}

func (c *Console) homeRoutes() []Route {
	return []Route{route("GET", "/", "lambda:ListFunctions", edge.OnAccount, c.home)}
}

func (c *Console) home(e echo.Context) error {
	return c.page(e, http.StatusOK, web.HomePage())
}
