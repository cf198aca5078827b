package web

// Create is the form for a new function.
type Create struct {
	Templates []TemplateChoice
	Chosen    string // key of the template, "blank" or "zip"
	Runtimes  []RuntimeChoice
	Runtime   string
	Name      Field
	Suggested string // the name that was filled in; kept to tell it from a typed one
	Handler   Field  // for zip
	Memory    Field
	Timeout   Field
	Role      string
	Roles     []RoleChoice
	ZipError  string
	FormError string
	Preview   Preview
}

// TemplateChoice is one thing to start from.
type TemplateChoice struct {
	Key, Icon string
	Runtime   string // "" for any
	Ready     bool
}

// RuntimeChoice is one runtime in a list.
type RuntimeChoice struct {
	Name  string
	Ready bool
	By    string // the runtime that stands in for it on this machine; "" when it is there itself
}

// RoleChoice is one execution role.
type RoleChoice struct{ ARN, Name string }

// Preview is the code that a template brings.
type Preview struct {
	File, Code string
	Files      []string // the others
	Events     []string
}

func (c Create) isZip() bool { return c.Chosen == "zip" }

func (r RuntimeChoice) noteKey() string {
	switch {
	case !r.Ready:
		return "runtime.missing"
	case r.By != "":
		return "runtime.standin"
	}
	return "runtime.ready"
}
