package sigv4

import "fmt"

// Error is a refused signature in AWS's words.
type Error struct {
	Status    int    // HTTP
	Code      string // of JSON and REST services, "InvalidSignatureException"
	QueryCode string // of query services (STS, IAM), "SignatureDoesNotMatch"
	Message   string // AWS's text
}

// Error is code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func missing() *Error {
	return &Error{403, "MissingAuthenticationTokenException", "MissingAuthenticationToken", "Missing Authentication Token"}
}

func incomplete(format string, args ...any) *Error {
	return &Error{400, "IncompleteSignatureException", "IncompleteSignature", fmt.Sprintf(format, args...)}
}

func unknownKey() *Error {
	return &Error{403, "UnrecognizedClientException", "InvalidClientTokenId", "The security token included in the request is invalid."}
}

func expiredKey() *Error {
	return &Error{403, "ExpiredTokenException", "ExpiredToken", "The security token included in the request is expired"}
}

func invalid(format string, args ...any) *Error {
	return &Error{403, "InvalidSignatureException", "SignatureDoesNotMatch", fmt.Sprintf(format, args...)}
}

func mismatch() *Error {
	return invalid("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

func payloadDiffers() *Error {
	return &Error{400, "XAmzContentSHA256Mismatch", "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."}
}
