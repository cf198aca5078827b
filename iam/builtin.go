package iam

import (
	"context"
	"strings"
)

// BuiltIn decides by the three roles of people: owners may do everything, developers work on functions, viewers look.
// The root key may do everything; anonymous callers, functions and services nothing.
type BuiltIn struct{}

// developer and viewer are action patterns; a trailing * matches the rest.
var (
	viewer    = []string{"lambda:Get*", "lambda:List*", "logs:Get*", "logs:Filter*", "logs:Describe*", "kiln:Get*", "kiln:List*", "kiln:EditOwn*"}
	developer = append([]string{"lambda:*", "logs:*", "iam:PassRole"}, viewer...)
)

// Allowed says whether p may do action; resource does not matter to the built-in roles.
func (BuiltIn) Allowed(_ context.Context, p Principal, action, _ string) (bool, error) {
	switch {
	case p.Kind == KindRoot:
		return true, nil
	case p.Kind != KindUser:
		return false, nil
	}
	switch p.Role {
	case "owner":
		return true, nil
	case "developer":
		return matches(developer, action), nil
	case "viewer":
		return matches(viewer, action), nil
	}
	return false, nil
}

func matches(patterns []string, action string) bool {
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "*"); p == action || ok && strings.HasPrefix(action, prefix) {
			return true
		}
	}
	return false
}
