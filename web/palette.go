package web

// Palette is what Ctrl K shows.
type Palette struct {
	Query  string
	Groups []PaletteGroup
}

// PaletteGroup is a titled part of the results.
type PaletteGroup struct {
	Key   string // message key of its title
	Items []PaletteItem
}

// PaletteItem is a place to go.
type PaletteItem struct {
	Icon, Text, Mono, Sub, Href string
}

// ids numbers the options over all groups.
func (p Palette) id(group, item int) string {
	n := item
	for _, g := range p.Groups[:group] {
		n += len(g.Items)
	}
	return "pal-" + lineNumber(n)
}
