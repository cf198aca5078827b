// Package edge is what every surface of the server shares: the operation row and its one Authorize, who calls (in the context),
// the request id, and the one mapping of errors to HTTP.
package edge

import "kiln/lambda"

// Param gives a decoded request's value by name: a path parameter of a console route, a field of an API request; "" when there is none.
type Param func(name string) string

// Row says what one operation needs: every route of the console, every API operation and every websocket topic has one.
type Row struct {
	Target   string // "GET /functions/:name", "Invoke", "topic:logs"; unique within its surface
	Action   string // IAM action, for example "lambda:GetFunction"; "" only when Open
	Resource func(a lambda.ARNs, p Param) string
	Open     bool // needs nobody: sign-in, health
}

// OnAccount is the resource of operations on no particular thing.
func OnAccount(lambda.ARNs, Param) string { return "*" }

// OnFunction is the ARN of the function that parameter param names, unqualified. A value that is no reference gives an ARN that matches nothing.
func OnFunction(param string) func(lambda.ARNs, Param) string {
	return func(a lambda.ARNs, p Param) string {
		ref, err := lambda.ParseFunctionRef(p(param))
		if err != nil {
			return a.Function("-", "-")
		}
		return a.Function(ref.Name, "")
	}
}
