package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"

	"kiln/code"
	"kiln/iam"
	"kiln/lambda"
)

// firstStart makes what a new data folder lacks: the owner, the root key and, where no function was ever made, the sample function.
func (h *house) firstStart(ctx context.Context) error {
	if _, err := h.store.FirstOwner(ctx); err != nil {
		return fmt.Errorf("make the owner: %w", err)
	}
	if err := h.rootKey(ctx); err != nil {
		return err
	}
	return h.sampleFunction(ctx)
}

// rootKey keeps the root key of the settings, else of the credentials file, else a new one, and writes the credentials file.
func (h *house) rootKey(ctx context.Context) error {
	path := filepath.Join(h.config.Data, credentialsFile)
	id, secret := h.config.RootKeyID, h.config.RootSecret
	if id == "" {
		var err error
		if id, secret, err = readCredentials(path); err != nil {
			return err
		}
	}
	if id == "" || secret == "" {
		id, secret = "AKIA"+randomText(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), randomText(40, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
	}
	if err := h.store.PutRootKey(ctx, id, secret); err != nil {
		return fmt.Errorf("keep the root key: %w", err)
	}
	return writeCredentials(path, id, secret, h.config.Region)
}

func randomText(n int, alphabet string) string {
	b := make([]byte, n)
	for i := range b {
		k, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // the system has no randomness: nothing can be safe
		}
		b[i] = alphabet[k.Int64()]
	}
	return string(b)
}

const sampleName = "hello"

// sampleFunction makes the function of the first visit. The setting remembers it, so that a deleted sample stays deleted.
func (h *house) sampleFunction(ctx context.Context) error {
	var made bool
	if err := h.store.Setting(ctx, "sample", &made); err != nil && lambda.KindOf(err) != lambda.NotFound {
		return fmt.Errorf("look for the sample function: %w", err)
	}
	if made {
		return nil
	}
	if n, err := h.store.CountFunctions(ctx); err != nil {
		return fmt.Errorf("count functions: %w", err)
	} else if n == 0 {
		if err := h.makeSample(ctx); err != nil {
			return fmt.Errorf("make the sample function: %w", err)
		}
	}
	if err := h.store.SetSetting(ctx, iam.System, "sample", true); err != nil {
		return fmt.Errorf("remember the sample function: %w", err)
	}
	return nil
}

func (h *house) makeSample(ctx context.Context) error {
	t, err := h.sampleTemplate()
	if err != nil {
		return err
	}
	zip, err := code.Build(t.Files)
	if err != nil {
		return err
	}
	kept, err := h.store.PutCode(ctx, bytes.NewReader(zip))
	if err != nil {
		return err
	}
	_, err = h.store.CreateFunction(ctx, iam.System, lambda.NewFunction{Name: sampleName, Code: kept,
		Config: lambda.Config{Runtime: t.Runtime, Handler: t.Handler, Role: h.store.ARNs().Role("kiln-default"), Description: "A first function to run and change"}.WithDefaults()})
	if err != nil && lambda.KindOf(err) != lambda.Conflict {
		return err
	}
	return h.store.PutTestEvent(ctx, iam.System, lambda.TestEvent{Function: sampleName, Name: "first event", Body: t.Event.Body})
}

// sampleTemplate is the Node.js template, or the Python one where only Python can run: the first click must work.
func (h *house) sampleTemplate() (code.Template, error) {
	all := code.Templates()
	for _, t := range all {
		if _, _, err := h.runtimes.Resolve(t.Runtime); err == nil {
			return t, nil
		}
	}
	if len(all) == 0 {
		return code.Template{}, errors.New("no templates are built in")
	}
	return all[0], nil
}
