package iam

import (
	"context"
)

// BuiltIn decides by the three roles of people: owners may do everything, developers work on functions, viewers look.
// The root key may do everything; anonymous callers, functions and services nothing. Authority decides with all documents.
type BuiltIn struct{}

// Allowed says whether p may do action to resource.
func (BuiltIn) Allowed(_ context.Context, p Principal, action, resource string) (bool, error) {
	return Decide(Request{Principal: p, Action: action, Resource: resource}, Policies{Identity: peoplePolicies(p)}).Allowed, nil
}

func peoplePolicies(p Principal) []Named {
	if n, ok := RolePolicy(p.Role); ok && p.Kind == KindUser {
		return []Named{n}
	}
	return nil
}
