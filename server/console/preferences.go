package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
)

func (c *Console) preferenceRoutes() []Route {
	return []Route{route("POST", "/preferences", "kiln:EditOwnPreferences", edge.OnAccount, c.setPreference)}
}

// preferences are the names that a person may set and what they may hold.
var preferences = map[string]func(string) bool{
	"locale": func(v string) bool { return v == "en" || v == "ko" || v == "" },
	"theme":  func(v string) bool { return v == "light" || v == "dark" || v == "" },
	"pinned": func(v string) bool { return len(v) <= 1024 && validNames(v) },
}

func validNames(list string) bool {
	names := strings.Fields(list)
	return len(names) <= maxPins && !slices.ContainsFunc(names, func(n string) bool {
		_, err := lambda.ParseFunctionRef(n)
		return err != nil
	})
}

// setPreference keeps one preference; a form goes back to where it came from, a script gets 204.
func (c *Console) setPreference(e echo.Context) error {
	name, value := e.FormValue("name"), e.FormValue("value")
	valid, known := preferences[name]
	if !known || !valid(value) {
		return lambda.E(lambda.Invalid, "preference.wrong")
	}
	ctx := e.Request().Context()
	user := edge.SessionOf(ctx).User
	if err := c.Store.SetPreference(ctx, user, name, value); err != nil {
		return err
	}
	c.Sessions.Changed(user)
	if wantsJSON(e) || isHTMX(e) {
		return e.NoContent(http.StatusNoContent)
	}
	return c.redirect(e, LocalPath(e.FormValue("back")), "")
}

// LocalPath is p when it is a path of this site, else "/": nobody can be sent away by a link.
func LocalPath(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t") {
		return "/"
	}
	return p
}
