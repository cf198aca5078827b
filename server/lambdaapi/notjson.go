package lambdaapi

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"kiln/lambda"
)

const sourceNote = "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: %d, column: %d]"

// notJSON words what is wrong with a payload as AWS's parser does.
func notJSON(c *call, _ *lambda.Error) *failure {
	at, what := faultOf(c.body)
	line, column := 1, 1
	for _, b := range c.body[:at] {
		column++
		if b == '\n' {
			line, column = line+1, 1
		}
	}
	return invalidContent("Could not parse request body into json: Could not parse payload into json: " + what + fmt.Sprintf(sourceNote, line, column))
}

// faultOf finds the first byte that is no JSON and says what AWS would.
func faultOf(body []byte) (at int, what string) {
	var v json.RawMessage
	err := json.Unmarshal(body, &v)
	at = len(body)
	if s, ok := err.(*json.SyntaxError); ok {
		at = max(int(s.Offset)-1, 0)
	}
	if at >= len(body) {
		return len(body), "Unexpected end-of-input"
	}
	const expected = "expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
	switch b := body[at]; {
	case b >= 0x80 && !utf8.Valid(body[at:]) && (b < 0xc2 || b > 0xf4) && at > 0:
		return at, fmt.Sprintf("Invalid UTF-8 start byte 0x%x", b)
	case b < 0x20 || b >= 0x7f:
		return at, fmt.Sprintf("Unexpected character ((CTRL-CHAR, code %d)): %s", b, expected)
	default:
		return at, fmt.Sprintf("Unexpected character ('%c' (code %d)): %s", b, b, expected)
	}
}
