package process

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"kiln/executor/runner"
	"kiln/executor/runtimes"
)

// Everything that the server may ask of the spawner. A packet is the header's length (4 bytes, big endian), the header as JSON,
// and for a cold start the environment as NUL-terminated strings.
const (
	opStart    = "start"
	opHandOver = "hand-over"
	opKill     = "kill"
	opReap     = "reap"
	opRuntimes = "runtimes" // look for runtimes again and list them

	maxHeader   = 4 << 10
	maxEnv      = 64 << 10
	maxPacket   = 4 + maxHeader + maxEnv
	maxBoxes    = 2000
	maxLayers   = 5
	maxTargets  = 16
	minMemoryMB = 32
	maxMemoryMB = 32 << 10
	maxTmpMB    = 10 << 10
)

type request struct {
	Op          string          `json:"op"`
	Seq         uint64          `json:"seq"`
	Box         uint64          `json:"box,omitempty"`
	Runtime     string          `json:"runtime,omitempty"`
	MemoryMB    int             `json:"memory,omitempty"`
	EphemeralMB int             `json:"tmp,omitempty"`
	Code        string          `json:"code,omitempty"`
	Layers      []string        `json:"layers,omitempty"`
	Wrapper     string          `json:"wrapper,omitempty"`
	Network     *runner.Network `json:"network,omitempty"`
	env         []string
}

// What the spawner says. Seq 0 marks an event.
const (
	sayHello   = "hello"   // once, first: Hello
	sayStarted = "started" // with the descriptors that Fds lists
	sayDone    = "done"
	sayExited  = "exited" // an event: Box is gone, with everything that was in it
)

type reply struct {
	Say   string               `json:"say"`
	Seq   uint64               `json:"seq,omitempty"`
	Box   uint64               `json:"box,omitempty"`
	Error string               `json:"error,omitempty"` // for the log
	Key   string               `json:"key,omitempty"`   // for a person, with Error
	Fds   string               `json:"fds,omitempty"`
	Exit  *runner.Exit         `json:"exit,omitempty"`
	Hello *runner.Capabilities `json:"hello,omitempty"`

	Runtimes []runtimes.Runtime `json:"runtimes,omitempty"`
}

// The letters of reply.Fds, one per descriptor, in order.
const (
	fdChannel = 'c'
	fdRecords = 'r'
	fdStdout  = 'o'
	fdStderr  = 'e'
	fdAPI     = 'a'
	fdAWS     = 'w'
	fdUsage   = 'u'
	fdPeak    = 'p'
	fdFreezer = 'f'
	fdCPU     = 'q'
	fdTime    = 't'
	fdDNS     = 'd' // UDP
	fdDNSTCP  = 'D'
	maxFds    = 13
)

var (
	errPacket = errors.New("malformed packet")
)

// The forms of names, by hand: every box's first program would compile regular expressions anew.

func isDigest(s string) bool { return len(s) == 64 && only(s, "0123456789abcdef") }

func isRuntimeName(s string) bool {
	return len(s) > 0 && len(s) <= 64 && s[0] >= 'a' && s[0] <= 'z' && only(s, "abcdefghijklmnopqrstuvwxyz0123456789.")
}

// isWrapper accepts paths inside the box, below the two folders that belong to the function.
func isWrapper(s string) bool {
	rest, ok := strings.CutPrefix(s, "/opt/")
	if !ok {
		rest, ok = strings.CutPrefix(s, "/var/task/")
	}
	return ok && rest != "" && len(s) <= 200 && path.Clean(s) == s &&
		only(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+@/-")
}

func only(s, set string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(set, r) }) < 0
}

func validTargets(list []runner.Target) bool {
	for _, t := range list {
		if !t.Prefix.IsValid() || !t.Prefix.Addr().Is4() || t.Port == 0 || slices.ContainsFunc(never, t.Prefix.Overlaps) {
			return false
		}
	}
	return len(list) <= maxTargets
}

func encodeRequest(q *request) ([]byte, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	head, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(head)))
	b = append(b, head...)
	for _, kv := range q.env {
		b = append(append(b, kv...), 0)
	}
	if env := len(b) - 4 - len(head); len(head) > maxHeader || env > maxEnv {
		return nil, fmt.Errorf("%w: %d bytes of environment", errPacket, env)
	}
	return b, nil
}

// decodeRequest takes a packet from the server, which is not trusted: whatever it returns without an error keeps every bound.
// With an error the request is nil or good for its number only.
func decodeRequest(b []byte) (*request, error) {
	if len(b) < 4 {
		return nil, errPacket
	}
	n := binary.BigEndian.Uint32(b)
	if n > maxHeader || int(n) > len(b)-4 {
		return nil, errPacket
	}
	dec := json.NewDecoder(bytes.NewReader(b[4 : 4+n]))
	dec.DisallowUnknownFields()
	q := &request{}
	if err := dec.Decode(q); err != nil || dec.More() {
		return nil, errPacket
	}
	var err error
	if q.env, err = decodeEnv(b[4+n:]); err != nil {
		return &request{Seq: q.Seq}, err // so that the refusal finds its way
	}
	return q, q.check()
}

func decodeEnv(b []byte) ([]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) > maxEnv || b[len(b)-1] != 0 {
		return nil, errPacket
	}
	env := strings.Split(string(b[:len(b)-1]), "\x00")
	for _, kv := range env {
		if i := strings.IndexByte(kv, '='); i < 1 {
			return nil, errPacket
		}
	}
	return env, nil
}

func (q *request) check() error {
	switch q.Op {
	case opStart:
		return q.checkStart()
	case opHandOver:
		if q.Code == "" || q.Runtime != "" || q.Wrapper != "" || len(q.env) > 0 {
			return errPacket
		}
		return q.checkLimits()
	case opKill:
		if q.Box == 0 {
			return errPacket
		}
		return q.checkBare()
	case opReap, opRuntimes:
		return q.checkBare()
	}
	return errPacket
}

func (q *request) checkBare() error {
	if q.Runtime != "" || q.MemoryMB != 0 || q.EphemeralMB != 0 || q.Code != "" || len(q.Layers) > 0 || q.Wrapper != "" || len(q.env) > 0 || q.Network != nil {
		return errPacket
	}
	return nil
}

func (q *request) checkStart() error {
	if !isRuntimeName(q.Runtime) {
		return errPacket
	}
	if q.Code == "" && (len(q.Layers) > 0 || len(q.env) > 0 || q.Wrapper != "") {
		return errPacket
	}
	if q.Wrapper != "" && !isWrapper(q.Wrapper) {
		return errPacket
	}
	return q.checkLimits()
}

func (q *request) checkLimits() error {
	if q.Box == 0 || q.MemoryMB < minMemoryMB || q.MemoryMB > maxMemoryMB || q.EphemeralMB < 1 || q.EphemeralMB > maxTmpMB {
		return errPacket
	}
	if q.Code != "" && !isDigest(q.Code) || len(q.Layers) > maxLayers {
		return errPacket
	}
	if q.Network != nil && (q.Code == "" || !validTargets(q.Network.Targets)) {
		return errPacket
	}
	for _, l := range q.Layers {
		if !isDigest(l) {
			return errPacket
		}
	}
	return nil
}
