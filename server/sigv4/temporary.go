package sigv4

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"kiln/iam"
	"kiln/lambda"
)

// Temporary holds the keys of workers and assumed roles in memory: they end with the server. It is safe for concurrent use.
type Temporary struct {
	lasting Keys // asked for every other key
	mu      sync.RWMutex
	keys    map[string]*tempKey
	byOwner map[string]string // owner → key id
}

type tempKey struct {
	iam.AccessKey
	owner string
}

// NewTemporary makes a Keys that knows temporary keys first and asks lasting for the others.
func NewTemporary(lasting Keys) *Temporary {
	return &Temporary{lasting: lasting, keys: map[string]*tempKey{}, byOwner: map[string]string{}}
}

// Issue makes a key for p that ends at until. An owner (a worker's id) has one key: an earlier one ends now. "" has any number.
func (t *Temporary) Issue(owner string, p iam.Principal, until time.Time) iam.AccessKey {
	k := &tempKey{owner: owner, AccessKey: iam.AccessKey{ID: "ASIA" + randomText(10)[:16], Secret: randomSecret(30), Token: randomSecret(96),
		Principal: p, CreatedAt: time.Now(), ExpiresAt: until}}
	t.mu.Lock()
	defer t.mu.Unlock()
	if owner != "" {
		delete(t.keys, t.byOwner[owner])
		t.byOwner[owner] = k.ID
	}
	t.keys[k.ID] = k
	return k.AccessKey
}

// Revoke ends the key of an owner.
func (t *Temporary) Revoke(owner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.keys, t.byOwner[owner])
	delete(t.byOwner, owner)
}

// Expire drops the keys that ended before now.
func (t *Temporary) Expire(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, k := range t.keys {
		if now.After(k.ExpiresAt.Add(time.Hour)) { // for a while an expired key is told from an unknown one
			delete(t.keys, id)
			if t.byOwner[k.owner] == id {
				delete(t.byOwner, k.owner)
			}
		}
	}
}

// Owner is whose key this is; "" for a lasting one or none. A worker's listener takes only its own worker's key.
func (t *Temporary) Owner(id string) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if k := t.keys[id]; k != nil {
		return k.owner
	}
	return ""
}

// AccessKey finds a key.
func (t *Temporary) AccessKey(ctx context.Context, id string) (*iam.AccessKey, error) {
	t.mu.RLock()
	k := t.keys[id]
	t.mu.RUnlock()
	if k != nil {
		return &k.AccessKey, nil
	}
	if t.lasting == nil || len(id) > 4 && id[:4] == "ASIA" {
		return nil, lambda.E(lambda.Unauthenticated, "key.missing")
	}
	return t.lasting.AccessKey(ctx, id)
}

const keyLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

func randomText(n int) string {
	b := make([]byte, n*8/5)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = keyLetters[b[i]&31]
	}
	return string(b)
}

func randomSecret(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}
