// Package runner is the in-process Runner: pools of workers keyed by revision digest, the pre-booted pool and the hand-over,
// Kiln's own worker channel, the HTTP Runtime API, and the capture of output, all over a Driver.
package runner

import (
	"context"
	"net"

	"kiln/lambda"
)

// Provider gives the runner what it needs of a revision; main joins store, code and server behind it.
type Provider interface {
	// Revision is the runnable of a digest, environment opened. NotFound when nothing has this digest.
	Revision(ctx context.Context, d lambda.Digest) (*lambda.Runnable, error)
	// Tree makes sure that the package is unpacked, read-only, under the code folder that the driver knows by this SHA-256.
	Tree(ctx context.Context, sha256 string) error
	// Credentials are asked once per worker for the environment; the zero value means none.
	Credentials(ctx context.Context, worker, roleARN string) (Credentials, error)
	// ServeAWS serves the signed AWS endpoint on a worker's own listener until the listener is closed.
	ServeAWS(l net.Listener, worker string, run *lambda.Runnable)
}

// Credentials are temporary keys of an execution role, bound to one worker.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
}

// Sink takes what workers say. It is safe for concurrent use and may block (back-pressure on that one function).
type Sink interface {
	// Lines takes lines without ids, in the order in which the worker wrote them.
	Lines(lines []lambda.LogLine)
}
