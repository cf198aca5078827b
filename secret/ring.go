// Package secret seals and opens small values with AES-256-GCM under a ring of master keys, and derives keys from the current one.
// It knows no database; only where a key file lies.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// KeySize is the length of a master key in bytes.
const KeySize = 32

// A sealed value is: one byte format, 8 bytes key id, 12 bytes nonce, ciphertext with its 16 byte tag.
const (
	format    = 1
	idSize    = 8
	nonceSize = 12
	overhead  = 1 + idSize + nonceSize + 16
)

// The reasons why a value cannot be opened.
var (
	ErrUnknownKey = errors.New("sealed with a master key that is not in the ring")
	ErrDamaged    = errors.New("sealed value is damaged or belongs elsewhere")
)

type keyID [idSize]byte

type key struct {
	id     keyID
	master []byte
	aead   cipher.AEAD
}

// Ring seals with its current key and opens with every key that it holds. It is immutable and safe for concurrent use.
type Ring struct {
	current key
	all     map[keyID]key
}

// NewRing makes a ring from 32-byte master keys; values are sealed with the first one, the others only open.
func NewRing(current []byte, older ...[]byte) (*Ring, error) {
	r := &Ring{all: make(map[keyID]key, 1+len(older))}
	for i, master := range append([][]byte{current}, older...) {
		k, err := newKey(master)
		if err != nil {
			return nil, fmt.Errorf("master key %d: %w", i+1, err)
		}
		if i == 0 {
			r.current = k
		}
		r.all[k.id] = k
	}
	return r, nil
}

func newKey(master []byte) (key, error) {
	if len(master) != KeySize {
		return key{}, fmt.Errorf("%d bytes long, not %d", len(master), KeySize)
	}
	k := key{master: append([]byte(nil), master...)}
	id, err := hkdf.Key(sha256.New, k.master, nil, "kiln key id", idSize)
	if err != nil {
		return key{}, fmt.Errorf("derive the key's id: %w", err)
	}
	copy(k.id[:], id)
	sealing, err := hkdf.Key(sha256.New, k.master, nil, "kiln sealing", KeySize)
	if err != nil {
		return key{}, fmt.Errorf("derive the sealing key: %w", err)
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return key{}, fmt.Errorf("make the cipher: %w", err)
	}
	k.aead, err = cipher.NewGCM(block)
	if err != nil {
		return key{}, fmt.Errorf("make the cipher: %w", err)
	}
	return k, nil
}

// Seal encrypts plain. where names the place that the value is kept at; Open must name the same one, so that a sealed value
// copied to another place does not open there.
func (r *Ring) Seal(plain []byte, where string) []byte {
	out := make([]byte, 1+idSize+nonceSize, overhead+len(plain))
	out[0] = format
	copy(out[1:], r.current.id[:])
	nonce := out[1+idSize:]
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead
	return r.current.aead.Seal(out, nonce, plain, []byte(where))
}

// Open decrypts what Seal made for the same place. ErrUnknownKey or ErrDamaged otherwise.
func (r *Ring) Open(sealed []byte, where string) ([]byte, error) {
	if len(sealed) < overhead || sealed[0] != format {
		return nil, ErrDamaged
	}
	k, ok := r.all[keyID(sealed[1:1+idSize])]
	if !ok {
		return nil, ErrUnknownKey
	}
	nonce := sealed[1+idSize : 1+idSize+nonceSize]
	plain, err := k.aead.Open(nil, nonce, sealed[1+idSize+nonceSize:], []byte(where))
	if err != nil {
		return nil, ErrDamaged
	}
	return plain, nil
}

// Current says whether a value was sealed with the current key; rotation seals the others anew.
func (r *Ring) Current(sealed []byte) bool {
	return len(sealed) >= overhead && sealed[0] == format && keyID(sealed[1:1+idSize]) == r.current.id
}

// Derive makes a 32-byte key for one purpose from the current master key.
func (r *Ring) Derive(purpose string) []byte {
	k, err := hkdf.Key(sha256.New, r.current.master, nil, "kiln derived: "+purpose, KeySize)
	if err != nil { // 32 bytes is always within HKDF's bound
		panic("secret: " + err.Error())
	}
	return k
}
