package lambdaapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// form is how an error's body is spelled; AWS differs by error.
type form int

const (
	typedLower form = iota // {"Type":"User","message":…}
	typedUpper             // {"Type":"User","Message":…}
	bareLower              // {"message":…}
	bareUpper              // {"Message":…}
)

// failure is an error in AWS's words.
type failure struct {
	status  int
	code    string
	message string
	form    form
	reason  string // of a throttle
	query   string // the code at query services, when it is another
	cause   error  // for the log
}

func (f *failure) queryCode() string {
	if f.query != "" {
		return f.query
	}
	return strings.TrimSuffix(f.code, "Exception")
}

// Error is code and message.
func (f *failure) Error() string { return f.code + ": " + f.message }

// Unwrap gives the cause.
func (f *failure) Unwrap() error { return f.cause }

func invalidValue(format string, args ...any) *failure {
	return &failure{status: 400, code: "InvalidParameterValueException", message: fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) *failure {
	return &failure{status: 409, code: "ResourceConflictException", message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *failure {
	return &failure{status: 404, code: "ResourceNotFoundException", message: fmt.Sprintf(format, args...), form: typedUpper}
}

func stale(call string) *failure {
	return &failure{status: 412, code: "PreconditionFailedException",
		message: "The Revision Id provided does not match the latest Revision Id. Call the " + call + " API to retrieve the latest Revision Id"}
}

func validation(message string) *failure {
	return &failure{status: 400, code: "ValidationException", message: message, form: bareLower}
}

func tooLarge(format string, args ...any) *failure {
	return &failure{status: 413, code: "RequestEntityTooLargeException", message: fmt.Sprintf(format, args...), form: bareLower}
}

func serialization() *failure {
	return &failure{status: 400, code: "SerializationException", message: "Could not parse request body into json", form: bareLower}
}

func denied(message string) *failure {
	return &failure{status: 403, code: "AccessDeniedException", message: message, form: bareUpper}
}

func serviceFault(cause error) *failure {
	return &failure{status: 500, code: "ServiceException", message: "An error occurred and the request cannot be processed.", form: typedUpper, cause: cause}
}

func unknownOperation(path string) *failure {
	return &failure{status: 404, code: "UnknownOperationException", message: "Unable to determine service/operation name to be authorized", form: bareUpper, cause: fmt.Errorf("no operation at %q", path)}
}

// body is the JSON that AWS sends.
func (f *failure) body() []byte {
	m := map[string]string{"message": f.message}
	if f.form == typedUpper || f.form == bareUpper {
		m = map[string]string{"Message": f.message}
	}
	if f.form == typedLower || f.form == typedUpper {
		m["Type"] = "User"
		if f.status >= http.StatusInternalServerError {
			m["Type"] = "Service"
		}
	}
	if f.reason != "" {
		m["Reason"] = f.reason
	}
	b, err := json.Marshal(m)
	if err != nil { // a map of strings always marshals
		return []byte("{}")
	}
	return b
}

func (f *failure) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amzn-Errortype", f.code)
	w.WriteHeader(f.status)
	_, _ = w.Write(f.body()) // the client may have gone
}

// checks gathers what breaks the model's constraints and words it as AWS does.
type checks struct{ all []string }

func (c *checks) add(value, field, constraint string) {
	c.all = append(c.all, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, field, constraint))
}

func quoted(v string) string { return "'" + v + "'" }

// err is nil when all holds.
func (c *checks) err() error {
	switch len(c.all) {
	case 0:
		return nil
	case 1:
		return validation("1 validation error detected: " + c.all[0])
	}
	return validation(fmt.Sprintf("%d validation errors detected: %s", len(c.all), strings.Join(c.all, "; ")))
}

func (c *checks) pattern(ok bool, value, field, pattern string) {
	if !ok {
		c.add(quoted(value), field, "Member must satisfy regular expression pattern: "+pattern)
	}
}

func (c *checks) most(value, field string, length int) {
	if len([]rune(value)) > length {
		c.add(quoted(value), field, fmt.Sprintf("Member must have length less than or equal to %d", length))
	}
}

func (c *checks) between(v *int, field string, low, high int) {
	switch {
	case v == nil:
	case *v < low:
		c.add(fmt.Sprintf("'%d'", *v), field, fmt.Sprintf("Member must have value greater than or equal to %d", low))
	case *v > high:
		c.add(fmt.Sprintf("'%d'", *v), field, fmt.Sprintf("Member must have value less than or equal to %d", high))
	}
}

func (c *checks) oneOf(value, field string, allowed ...string) {
	for _, a := range allowed {
		if a == value {
			return
		}
	}
	c.add(quoted(value), field, "Member must satisfy enum value set: ["+strings.Join(allowed, ", ")+"]")
}

func (c *checks) present(ok bool, field string) {
	if !ok {
		c.add("null", field, "Member must not be null")
	}
}
