package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what     string
		env      []string
		args     []string
		problems []string // parts of the error, each must appear
		check    func(config) bool
	}{
		{what: "defaults", check: func(c config) bool { return c.Listen == "127.0.0.1:8080" && c.GatewayDomain == "localhost" }},
		{what: "a flag beats a variable", env: []string{"KILN_REGION=eu-west-1"}, args: []string{"-region", "eu-north-1"}, check: func(c config) bool { return c.Region == "eu-north-1" }},
		{what: "a secret from a file", env: []string{"DATABASE_URL_FILE=" + file}, check: func(c config) bool { return c.DatabaseURL == "postgres://from-file" }},
		{what: "a secret twice", env: []string{"DATABASE_URL_FILE=" + file, "DATABASE_URL=postgres://x"}, problems: []string{"both set"}},
		{what: "an unknown variable", env: []string{"KILN_LISTENN=x"}, problems: []string{"KILN_LISTENN is not a setting"}},
		{what: "all problems at once", env: []string{"KILN_REGION=mars", "KILN_ACCOUNT_ID=12", "KILN_ISOLATION=Z", "KILN_LISTEN=nowhere", "KILN_DATA=here", "KILN_TLS_CERT=a"},
			problems: []string{"KILN_REGION", "KILN_ACCOUNT_ID", "KILN_ISOLATION", "KILN_LISTEN", "KILN_DATA", "KILN_TLS_KEY"}},
		{what: "a shared address", env: []string{"KILN_LISTEN=127.0.0.1:1", "KILN_GATEWAY_LISTEN=127.0.0.1:1"}, problems: []string{"address of their own"}},
		{what: "half a root key", env: []string{"KILN_ROOT_ACCESS_KEY_ID=AKIAAAAAAAAAAAAAAAAA"}, problems: []string{"go together"}},
		{what: "a gateway below the console", env: []string{"KILN_CONSOLE_URL=https://kiln.example.com", "KILN_GATEWAY_DOMAIN=fn.kiln.example.com"}, problems: []string{"share a site"}},
		{what: "a gateway beside the console", env: []string{"KILN_CONSOLE_URL=https://kiln.example.com", "KILN_GATEWAY_DOMAIN=fn.example.com"}, problems: []string{"share a site"}},
		{what: "a gateway elsewhere", env: []string{"KILN_CONSOLE_URL=https://kiln.example.com", "KILN_GATEWAY_DOMAIN=example.net"}, check: func(c config) bool { return c.GatewayDomain == "example.net" }},
		{what: "proxies", env: []string{"KILN_TRUSTED_PROXIES=10.0.0.0/8, 127.0.0.1/32"}, check: func(c config) bool { return len(c.trustedProxyNets) == 2 }},
		{what: "a wrong proxy", env: []string{"KILN_TRUSTED_PROXIES=everybody"}, problems: []string{"not a CIDR"}},
	} {
		env := append([]string{"KILN_DATA=/tmp/kiln-config-test"}, c.env...)
		got, _, err := readConfig("serve", c.args, env, io.Discard)
		if (err != nil) != (len(c.problems) > 0) {
			t.Errorf("%s: error %v", c.what, err)
		}
		for _, p := range c.problems {
			if err == nil || !strings.Contains(err.Error(), p) {
				t.Errorf("%s: %q is missing in %v", c.what, p, err)
			}
		}
		if c.check != nil && !c.check(got) {
			t.Errorf("%s: got %+v", c.what, got)
		}
	}
}

func TestSecretsAreNoFlags(t *testing.T) {
	var c config
	for _, s := range c.settings() {
		if s.secret && s.flag != "" {
			t.Errorf("%s is a secret and has the flag -%s", s.env, s.flag)
		}
	}
}
