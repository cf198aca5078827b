package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"kiln/executor/process"
)

// settingsOf reads the settings for a command that takes `want` arguments, wherever its flags stand among them.
func settingsOf(command, synopsis string, args []string, want int) (config, []string, error) {
	flags, plain := splitFlags(args)
	c, rest, err := readConfig(command, flags, os.Environ(), os.Stderr)
	if err != nil {
		return c, nil, err
	}
	rest = append(rest, plain...)
	if len(rest) != want {
		return c, nil, fmt.Errorf("usage: kiln %s", synopsis)
	}
	return c, rest, nil
}

// splitFlags parts flags from arguments: `admin backup FILE -data X` reads like `admin backup -data X FILE`.
func splitFlags(args []string) (flags, plain []string) {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--":
			return flags, append(plain, args[i+1:]...)
		case a == "-" || !strings.HasPrefix(a, "-"):
			plain = append(plain, a)
		default:
			flags = append(flags, a)
			name := strings.TrimLeft(a, "-")
			if !strings.Contains(a, "=") && name != "unsafe-no-sandbox" && name != "h" && name != "help" && i+1 < len(args) {
				i++
				flags = append(flags, args[i])
			}
		}
	}
	return flags, plain
}

func loginLink(ctx context.Context, args []string) error {
	c, _, err := settingsOf("login-link", "login-link", args, 0)
	if err != nil {
		return err
	}
	return askServer(ctx, c.Data, "login-link", nil, os.Stdout)
}

func healthcheck(ctx context.Context, args []string) error {
	c, _, err := settingsOf("healthcheck", "healthcheck", args, 0)
	if err != nil {
		return err
	}
	var answer strings.Builder
	if err := askServer(ctx, c.Data, "health", nil, &answer); err != nil {
		return err
	}
	fmt.Println(strings.TrimSpace(answer.String()))
	var h struct{ Status string }
	if err := json.Unmarshal([]byte(answer.String()), &h); err != nil || h.Status != "ok" {
		return fmt.Errorf("not well: %s", h.Status)
	}
	return nil
}

// credentialsFile is an AWS shared-credentials file with the root key.
const credentialsFile = "credentials"

func writeCredentials(path, id, secret, region string) error {
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\nregion = %s\n", id, secret, region)
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the credentials file: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write the credentials file: %w", err)
	}
	return nil
}

// readCredentials takes the key pair out of a credentials file; "" when there is no such file.
func readCredentials(path string) (id, secret string, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("read the credentials file: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(k) {
		case "aws_access_key_id":
			id = strings.TrimSpace(v)
		case "aws_secret_access_key":
			secret = strings.TrimSpace(v)
		}
	}
	return id, secret, nil
}

// asServer does a command's work on the data folder as the user that the server is: as root it runs the program again and ends with its
// exit status, so that what the command writes belongs to the server.
func asServer(c config, work func() error, stdin *os.File, args ...string) error {
	if !process.NeedsParent() {
		return work()
	}
	code, err := process.RunAsServer(c.Data, append(args, "-data", c.Data), stdin)
	if err != nil || code == 0 {
		return err
	}
	os.Exit(code) // the other process has said why
	return nil
}

func migrate(ctx context.Context, args []string) error {
	c, _, err := settingsOf("migrate", "migrate", args, 0)
	if err != nil {
		return err
	}
	return asServer(c, func() error { return migrateHere(ctx, c) }, nil, append([]string{"migrate"}, args...)...)
}

func migrateHere(ctx context.Context, c config) error {
	h := &house{config: c, log: newLogger(c.LogLevel)}
	for _, open := range []func(context.Context) error{h.openFolder, h.openDatabase, h.openStore} {
		if err := open(ctx); err != nil {
			return errors.Join(err, h.close(ctx))
		}
	}
	fmt.Println("the database has this version's schema")
	return h.close(ctx)
}
