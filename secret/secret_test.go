package secret

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func ringOf(t *testing.T, keys ...[]byte) *Ring {
	t.Helper()
	r, err := NewRing(keys[0], keys[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealedValuesOpenOnlyWhereTheyBelong(t *testing.T) {
	k1, k2 := NewKey(), NewKey()
	r := ringOf(t, k1)
	sealed := r.Seal([]byte("hunter2"), "env:1")
	if bytes.Contains(sealed, []byte("hunter2")) {
		t.Fatal("the value is readable")
	}
	if bytes.Equal(sealed, r.Seal([]byte("hunter2"), "env:1")) {
		t.Error("the same value sealed twice looks the same")
	}
	damaged := bytes.Clone(sealed)
	damaged[len(damaged)-1] ^= 1
	for _, c := range []struct {
		what   string
		ring   *Ring
		sealed []byte
		where  string
		want   error
	}{
		{"its own place", r, sealed, "env:1", nil},
		{"another place", r, sealed, "env:2", ErrDamaged},
		{"a bit changed", r, damaged, "env:1", ErrDamaged},
		{"cut short", r, sealed[:10], "env:1", ErrDamaged},
		{"empty", r, nil, "env:1", ErrDamaged},
		{"another ring", ringOf(t, k2), sealed, "env:1", ErrUnknownKey},
		{"a rotated ring", ringOf(t, k2, k1), sealed, "env:1", nil},
	} {
		plain, err := c.ring.Open(c.sealed, c.where)
		if !errors.Is(err, c.want) || c.want == nil && string(plain) != "hunter2" {
			t.Errorf("%s: %q, %v", c.what, plain, err)
		}
	}
	if ringOf(t, k2, k1).Current(sealed) || !r.Current(sealed) {
		t.Error("Current does not tell the keys apart")
	}
}

func TestDerivedKeysDifferByPurposeAndMaster(t *testing.T) {
	k1, k2 := NewKey(), NewKey()
	a, b := ringOf(t, k1), ringOf(t, k2)
	if !bytes.Equal(a.Derive("digest"), ringOf(t, k1).Derive("digest")) {
		t.Error("a derived key is not stable")
	}
	if bytes.Equal(a.Derive("digest"), a.Derive("other")) || bytes.Equal(a.Derive("digest"), b.Derive("digest")) {
		t.Error("derived keys are equal")
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "master.key")
	first, created, err := LoadOrCreate(path)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	sealed := first.Seal([]byte("x"), "w")
	again, created, err := LoadOrCreate(path)
	if err != nil || created {
		t.Fatal(created, err)
	}
	if _, err := again.Open(sealed, "w"); err != nil {
		t.Error(err)
	}
	rotated, err := AddKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rotated.Open(sealed, "w"); err != nil || rotated.Current(sealed) {
		t.Errorf("after a rotation: %v", err)
	}
	if err := DropOldKeys(path); err != nil {
		t.Fatal(err)
	}
	last, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := last.Open(sealed, "w"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a dropped key still opens: %v", err)
	}
}

func TestBadKeyFilesAreRefused(t *testing.T) {
	good := strings.Repeat("ab", KeySize) + "\n"
	for _, c := range []struct {
		what, text string
		mode       os.FileMode
		ok         bool
	}{
		{"good", good, 0o600, true},
		{"a comment and two keys", "# kept\n\n" + good + good, 0o400, true},
		{"readable by others", good, 0o644, false},
		{"short", "abcd\n", 0o600, false},
		{"not hex", strings.Repeat("zz", KeySize), 0o600, false},
		{"empty", "", 0o600, false},
	} {
		path := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		} else if err != nil && strings.Contains(err.Error(), "abcd") {
			t.Errorf("%s: the error shows key material", c.what)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r, err := NewRing(bytes.Repeat([]byte{7}, KeySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Seal([]byte("x"), "w"), "w2")
	f.Fuzz(func(t *testing.T, sealed []byte, where string) {
		if where == "w" {
			return
		}
		if _, err := r.Open(sealed, where); err == nil {
			t.Error("a made-up value opened")
		}
	})
}
