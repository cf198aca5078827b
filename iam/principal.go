// Package iam answers one question: may this principal do this to that? It holds documents, principals and the decision
// with the statement that decided, or the one that is missing. It does no I/O.
package iam

// PrincipalKind says what sort of caller a Principal is.
type PrincipalKind string

// The kinds of principal.
const (
	KindAnonymous PrincipalKind = "anonymous"
	KindRoot      PrincipalKind = "root"    // the root access key of the data folder
	KindUser      PrincipalKind = "user"    // a person
	KindRole      PrincipalKind = "role"    // a function's execution role or an assumed role
	KindService   PrincipalKind = "service" // Kiln itself on a trigger's behalf, for example "events.amazonaws.com"
)

// Principal is who does something. The zero value is anonymous.
type Principal struct {
	Kind   PrincipalKind
	ARN    string // arn:aws:iam::000000000000:root, …:user/kim, arn:aws:sts::…:assumed-role/…
	Name   string // shown to people: "Kim Minseo", "root", a role's name
	UserID int64  // store id of the person; 0 for others
	Role   string // of a person: "owner", "developer", "viewer"; "" for others
	From   string // remote address, for the audit; "" inside Kiln
}

// System is Kiln itself, for changes that no person asked for (first start, retention).
var System = Principal{Kind: KindService, ARN: "kiln", Name: "Kiln"}
