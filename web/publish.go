package web

import (
	"context"
	"strconv"

	"github.com/a-h/templ"
)

// Question is a small form of a function: over the page, or as a page of its own without JavaScript.
type Question interface {
	function() string
	title(ctx context.Context) string
	above() string // what is wrong with the whole form; "" for nothing
	form() templ.Component
}

// Publish asks what a new version is called.
type Publish struct {
	Name, Description string
	Current           int64
	RevisionID        string
	Problems          map[string]string
	Above             string
}

func (p Publish) function() string                 { return p.Name }
func (p Publish) title(ctx context.Context) string { return T(ctx, "publish.title", "name", p.Name) }
func (p Publish) above() string                    { return p.Above }
func (p Publish) form() templ.Component            { return publishForm(p) }

// DeleteVersion asks before a published version goes.
type DeleteVersion struct {
	Name   string
	Number int64
	Above  string
}

func (d DeleteVersion) function() string { return d.Name }
func (d DeleteVersion) title(ctx context.Context) string {
	return T(ctx, "publish.delete.title", "n", strconv.FormatInt(d.Number, 10), "name", d.Name)
}
func (d DeleteVersion) above() string         { return d.Above }
func (d DeleteVersion) form() templ.Component { return deleteVersionForm(d) }

// AliasForm makes or moves an alias; Share is in percent, as it was typed.
type AliasForm struct {
	Function, Name, Version, Second, Share, Description string
	RevisionID                                          string
	IsNew                                               bool
	Versions                                            []VersionChoice // newest first
	Problems                                            map[string]string
	Above                                               string
}

// VersionChoice is a published version to choose.
type VersionChoice struct{ Number, Description string }

func (a AliasForm) function() string { return a.Function }
func (a AliasForm) title(ctx context.Context) string {
	if a.IsNew {
		return T(ctx, "alias.new.title", "name", a.Function)
	}
	return T(ctx, "alias.title", "alias", a.Name)
}
func (a AliasForm) above() string         { return a.Above }
func (a AliasForm) form() templ.Component { return aliasFormView(a) }

func (a AliasForm) path() string {
	if a.IsNew {
		return FunctionPath(a.Function, "aliases")
	}
	return AliasPath(a.Function, a.Name)
}

// AliasPath is where an alias is changed.
func AliasPath(function, alias string) string { return FunctionPath(function, "aliases/"+alias) }

func (a AliasForm) field(name, label, value string) Field {
	return Field{ID: "al-" + name, Name: name, Label: label, Value: value, Error: a.Problems[name]}
}

func (a AliasForm) nameField(ctx context.Context) Field {
	f := mono(a.field("alias", T(ctx, "alias.name"), a.Name))
	f.Error, f.Required, f.Hint = a.Problems["name"], true, T(ctx, "alias.name.hint")
	return f
}

func (a AliasForm) shareField(ctx context.Context) Field {
	f := a.field("share", T(ctx, "alias.share"), a.Share)
	f.Error, f.Unit, f.InputMode = a.Problems["weights"], "%", "decimal"
	return f
}

func (v VersionChoice) label() string {
	if v.Description == "" {
		return "v" + v.Number
	}
	return "v" + v.Number + "  " + v.Description
}

func descriptionField(ctx context.Context, id, value string, problems map[string]string) Field {
	return Field{ID: id, Name: "description", Label: T(ctx, "field.description"), Value: value, Error: problems["description"], Max: 256}
}
