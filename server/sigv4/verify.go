// Package sigv4 answers who signed an AWS request: signatures in the header and in the query, whole, unsigned and chunked payloads.
package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"kiln/iam"
	"kiln/lambda"
)

// Keys finds access keys; store.Store and Temporary have it. Unauthenticated for an unknown one.
type Keys interface {
	AccessKey(ctx context.Context, id string) (*iam.AccessKey, error)
}

// Options says what a Verifier needs.
type Options struct {
	Keys Keys
	Now  func() time.Time
	Skew time.Duration // how far a client's clock may be off; 0 means AWS's 5 minutes
	Keep time.Duration // how long a found key is trusted without asking again; 0 means 5 seconds
}

// Identity is who signed and for what.
type Identity struct {
	Principal iam.Principal
	KeyID     string
	Region    string
	Service   string
	Presigned bool
}

// In holds a signature to a service and its regions: one made for another is not for us. The error is an *Error.
func (i Identity) In(service string, regions ...string) error {
	if i.Service != service {
		return invalid("Credential should be scoped to correct service: '%s'. ", service)
	}
	if !slices.Contains(regions, i.Region) {
		return invalid("Credential should be scoped to a valid region. ")
	}
	return nil
}

// Verifier checks signatures. It is safe for concurrent use.
type Verifier struct {
	o Options

	mu      sync.RWMutex
	known   map[string]knownKey
	signing map[scope][sha256.Size]byte
}

type knownKey struct {
	key   *iam.AccessKey
	until time.Time
}

// scope is what a signing key is derived for.
type scope struct{ secret, date, region, service string }

const maxKnown = 4096

// New makes a Verifier.
func New(o Options) *Verifier {
	if o.Skew == 0 {
		o.Skew = 5 * time.Minute
	}
	if o.Keep == 0 {
		o.Keep = 5 * time.Second
	}
	return &Verifier{o: o, known: map[string]knownKey{}, signing: map[scope][sha256.Size]byte{}}
}

// Forget drops remembered keys: call it when one was revoked.
func (v *Verifier) Forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.known)
	clear(v.signing)
}

// Check is a request whose headers were looked at and whose payload is still to come.
type Check struct {
	Identity Identity
	claim    *claim
	request  *http.Request
	signing  [sha256.Size]byte
	verified bool
}

// Verify checks a request with its whole payload. The error is an *Error, or a fault of the key store.
func (v *Verifier) Verify(r *http.Request, body []byte) (Identity, error) {
	c, err := v.Begin(r)
	if err != nil {
		return Identity{}, err
	}
	return c.Finish(body)
}

// Begin checks everything that does not need the payload: an unknown key, an old date and, when the request states its payload's hash,
// a wrong signature are refused before a byte of it is read.
func (v *Verifier) Begin(r *http.Request) (*Check, error) {
	claim, refused := parse(r)
	if refused != nil {
		return nil, refused
	}
	now := v.o.Now()
	if refused := claim.fresh(now, v.o.Skew); refused != nil {
		return nil, refused
	}
	if name := unsignedHeader(r, claim); name != "" {
		return nil, invalid("There were headers present in the request which were not signed: %s", strings.ToLower(name))
	}
	key, err := v.key(r.Context(), claim.keyID, now)
	if err != nil {
		return nil, err
	}
	if refused := checkToken(key, claim.token, now); refused != nil {
		return nil, refused
	}
	c := &Check{claim: claim, request: r, signing: v.signingKey(key.Secret, claim),
		Identity: Identity{Principal: key.Principal, KeyID: claim.keyID, Region: claim.region, Service: claim.service, Presigned: claim.presigned}}
	if claim.hash != "" {
		return c, c.verify(claim.hash)
	}
	return c, nil
}

func checkToken(key *iam.AccessKey, token string, now time.Time) error {
	if subtle.ConstantTimeCompare([]byte(key.Token), []byte(token)) != 1 {
		return unknownKey()
	}
	if !key.ExpiresAt.IsZero() && !now.Before(key.ExpiresAt) {
		return expiredKey()
	}
	return nil
}

// Finish checks the payload.
func (c *Check) Finish(body []byte) (Identity, error) {
	if c.verified && (c.claim.hash == unsignedPayload || c.Chunked()) {
		return c.Identity, nil
	}
	hash := emptyHash
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		hash = hex.EncodeToString(sum[:])
	}
	if c.verified {
		if subtle.ConstantTimeCompare([]byte(strings.ToLower(c.claim.hash)), []byte(hash)) != 1 {
			return Identity{}, payloadDiffers()
		}
		return c.Identity, nil
	}
	if err := c.verify(hash); err != nil {
		return Identity{}, err
	}
	return c.Identity, nil
}

// Chunked says whether the payload is in aws-chunked form: read it through Reader.
func (c *Check) Chunked() bool { return strings.HasPrefix(c.claim.hash, streaming) }

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// verify compares the signature of the request with this payload hash.
func (c *Check) verify(hash string) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	path, query := rawTarget(c.request)
	if c.signed(buf, path, query, hash) {
		return nil
	}
	if clean := cleanPath(path); clean != path && c.signed(buf, clean, query, hash) {
		return nil
	}
	return mismatch()
}

// signed says whether the request with this path was signed.
func (c *Check) signed(buf *[]byte, path, query, hash string) bool {
	b, ok := c.canonical((*buf)[:0], path, query, hash)
	*buf = b
	c.verified = ok && c.matches(b)
	return c.verified
}

func (c *Check) canonical(b []byte, path, query, hash string) ([]byte, bool) {
	b = append(append(b, c.request.Method...), '\n')
	b = append(appendPath(b, path, c.claim.service), '\n')
	b = append(appendQuery(b, query, c.claim.presigned), '\n')
	b, ok := appendHeaders(b, c.request, c.claim.headers)
	b = append(b, '\n')
	for i, h := range c.claim.headers {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, h...)
	}
	return append(append(b, '\n'), hash...), ok
}

func (c *Check) matches(canonical []byte) bool {
	sum := sha256.Sum256(canonical)
	var text [256]byte
	b := append(text[:0], algorithm+"\n"...)
	b = append(append(b, c.claim.stamp...), '\n')
	b = append(c.appendScope(b), '\n')
	b = hex.AppendEncode(b, sum[:])
	return c.signs(b, c.claim.signature)
}

// appendScope writes the credential scope.
func (c *Check) appendScope(b []byte) []byte {
	for _, s := range []string{c.claim.date, c.claim.region, c.claim.service} {
		b = append(append(b, s...), '/')
	}
	return append(b, "aws4_request"...)
}

// signs says whether signature is the one of text.
func (c *Check) signs(text []byte, signature string) bool {
	var want [2 * sha256.Size]byte
	mac := hmac.New(sha256.New, c.signing[:])
	mac.Write(text)
	hex.Encode(want[:], mac.Sum(nil))
	return subtle.ConstantTimeCompare(want[:], []byte(signature)) == 1
}

// key finds an access key, the remembered one first.
func (v *Verifier) key(ctx context.Context, id string, now time.Time) (*iam.AccessKey, error) {
	if len(id) < 16 || len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') }) {
		return nil, unknownKey()
	}
	v.mu.RLock()
	k, ok := v.known[id]
	v.mu.RUnlock()
	if ok && now.Before(k.until) {
		return k.key, nil
	}
	key, err := v.o.Keys.AccessKey(ctx, id)
	switch kind := lambda.KindOf(err); {
	case err == nil:
	case kind == lambda.Unauthenticated || kind == lambda.NotFound:
		return nil, unknownKey()
	default:
		return nil, err
	}
	if key.Token != "" { // temporary keys are in memory already, and end at once when they are revoked
		return key, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.known) >= maxKnown {
		clear(v.known)
	}
	v.known[id] = knownKey{key, now.Add(v.o.Keep)}
	return key, nil
}

// signingKey derives the day's key, or takes the one derived before.
func (v *Verifier) signingKey(secret string, c *claim) [sha256.Size]byte {
	s := scope{secret, c.date, c.region, c.service}
	v.mu.RLock()
	k, ok := v.signing[s]
	v.mu.RUnlock()
	if ok {
		return k
	}
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.date, c.region, c.service, "aws4_request"} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	k = [sha256.Size]byte(key)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.signing) >= maxKnown {
		clear(v.signing)
	}
	v.signing[s] = k
	return k
}
