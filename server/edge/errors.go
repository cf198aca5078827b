package edge

import (
	"net/http"

	"kiln/lambda"
)

var statuses = map[lambda.Kind]int{
	lambda.Invalid:         http.StatusUnprocessableEntity,
	lambda.Unauthenticated: http.StatusUnauthorized,
	lambda.Denied:          http.StatusForbidden,
	lambda.NotFound:        http.StatusNotFound,
	lambda.Conflict:        http.StatusConflict,
	lambda.Precondition:    http.StatusPreconditionFailed,
	lambda.Throttled:       http.StatusTooManyRequests,
	lambda.TooLarge:        http.StatusRequestEntityTooLarge,
	lambda.Unavailable:     http.StatusServiceUnavailable,
}

// Status is the HTTP status of an error's kind; 500 for Internal and every error that is not the domain's.
// AWS surfaces map the same kinds to their own status table.
func Status(err error) int {
	if s, ok := statuses[lambda.KindOf(err)]; ok {
		return s
	}
	return http.StatusInternalServerError
}
