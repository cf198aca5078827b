package console

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"kiln/code"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web/messages"
)

// eventJSON is a saved event as the island gets it.
type eventJSON struct {
	Name string `json:"name"`
	Body string `json:"body"`
	By   string `json:"by"`
}

type templateJSON struct {
	ID    string `json:"id"`
	Label string `json:"label"`
}

func eventsJSON(events []lambda.TestEvent) []eventJSON {
	out := make([]eventJSON, 0, len(events))
	for _, ev := range events {
		out = append(out, eventJSON{Name: ev.Name, Body: string(ev.Body), By: ev.By})
	}
	return out
}

func eventNames(events []lambda.TestEvent) []string {
	var names []string
	for _, ev := range events {
		names = append(names, ev.Name)
	}
	return names
}

// firstEvent is what a new page shows: the saved event that was asked for, else the first one, else a template.
func (c *Console) firstEvent(b *bench, name string) chosenEvent {
	for _, ev := range b.events {
		if name == "" || ev.Name == name {
			return chosenEvent{Name: ev.Name, Text: string(ev.Body)}
		}
	}
	first := chosenEvent{Text: "{}"}
	for _, t := range code.EventTemplates() {
		if t.ID == "hello-world" {
			first = chosenEvent{Source: t.ID, Text: string(t.Body)}
		}
	}
	return first
}

func templatesJSON(l messages.Locale) []templateJSON {
	var out []templateJSON
	for _, t := range code.EventTemplates() {
		out = append(out, templateJSON{ID: t.ID, Label: l.T("event." + t.ID)})
	}
	return out
}

func (c *Console) eventTemplate(e echo.Context) error {
	for _, t := range code.EventTemplates() {
		if t.ID == e.Param("id") {
			return e.JSON(http.StatusOK, map[string]string{"body": string(t.Body)})
		}
	}
	return lambda.E(lambda.NotFound, "page.missing")
}

// putEvent saves a shared event and answers the list.
func (c *Console) putEvent(e echo.Context) error {
	var in struct{ Name, Body string }
	if err := decodeJSON(e, &in, 2*maxEvent); err != nil {
		return err
	}
	name := strings.TrimSpace(in.Name)
	ctx := c.Context(e)
	ev := lambda.TestEvent{Function: e.Param("name"), Name: name, Body: []byte(in.Body)}
	if err := c.Store.PutTestEvent(ctx, edge.Principal(ctx), ev); err != nil {
		return err
	}
	return c.listEvents(e)
}

func (c *Console) deleteEvent(e echo.Context) error {
	ctx := c.Context(e)
	if err := c.Store.DeleteTestEvent(ctx, edge.Principal(ctx), e.Param("name"), e.QueryParam("name")); err != nil {
		return err
	}
	return c.listEvents(e)
}

func (c *Console) listEvents(e echo.Context) error {
	events, err := c.Store.TestEvents(c.Context(e), e.Param("name"))
	if err != nil {
		return err
	}
	return e.JSON(http.StatusOK, eventsJSON(events))
}
