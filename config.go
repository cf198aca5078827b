package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// config is every setting of the server. README's table describes each; settings below is the one list of them.
type config struct {
	Data             string
	Listen           string
	GatewayListen    string
	DatabaseURL      string
	Region           string
	AccountID        string
	RootKeyID        string
	RootSecret       string
	ConsoleURL       string
	GatewayDomain    string
	TrustedProxies   string
	TLSCert          string
	TLSKey           string
	Isolation        string
	MasterKeyFile    string
	NPMRegistry      string
	LogLevel         string
	UnsafeNoSandbox  bool
	trustedProxyNets []netip.Prefix
}

// setting is one row: its flag, its variable, its default and the field it fills.
type setting struct {
	flag, env, def, help string
	field                *string
	secret               bool // also read from the file named by env + "_FILE"; never a flag, which every user of the machine can read
}

func (c *config) settings() []setting {
	return []setting{
		{"data", "KILN_DATA", defaultDataFolder(), "folder that holds everything Kiln keeps", &c.Data, false},
		{"listen", "KILN_LISTEN", "127.0.0.1:8080", "address of the console and the signed AWS API", &c.Listen, false},
		{"gateway-listen", "KILN_GATEWAY_LISTEN", "127.0.0.1:8081", "address of function URLs and download links", &c.GatewayListen, false},
		{"", "DATABASE_URL", "", "PostgreSQL 14 or newer; a private one is started without it", &c.DatabaseURL, true},
		{"region", "KILN_REGION", "us-east-1", "region in ARNs and signatures", &c.Region, false},
		{"account-id", "KILN_ACCOUNT_ID", "000000000000", "account in ARNs, 12 digits", &c.AccountID, false},
		{"", "KILN_ROOT_ACCESS_KEY_ID", "", "root access key; made at first start without it", &c.RootKeyID, true},
		{"", "KILN_ROOT_SECRET_ACCESS_KEY", "", "its secret", &c.RootSecret, true},
		{"console-url", "KILN_CONSOLE_URL", "", "the console's public address, when a proxy stands in front", &c.ConsoleURL, false},
		{"gateway-domain", "KILN_GATEWAY_DOMAIN", "localhost", "domain below which function URLs live", &c.GatewayDomain, false},
		{"trusted-proxies", "KILN_TRUSTED_PROXIES", "", "comma-separated CIDRs whose X-Forwarded-For is believed", &c.TrustedProxies, false},
		{"tls-cert", "KILN_TLS_CERT", "", "certificate file (PEM)", &c.TLSCert, false},
		{"tls-key", "KILN_TLS_KEY", "", "its key file (PEM)", &c.TLSKey, false},
		{"isolation", "KILN_ISOLATION", "auto", "lowest sandbox rung accepted: auto, A, B or C", &c.Isolation, false},
		{"master-key-file", "KILN_MASTER_KEY_FILE", "", "file with the master key; $KILN_DATA/master.key without it", &c.MasterKeyFile, false},
		{"npm-registry", "KILN_NPM_REGISTRY", "https://registry.npmjs.org", "where Node.js runtimes are installed from", &c.NPMRegistry, false},
		{"log-level", "KILN_LOG_LEVEL", "info", "debug, info, warn or error", &c.LogLevel, false},
	}
}

func defaultDataFolder() string {
	if os.Geteuid() == 0 {
		return "/var/lib/kiln"
	}
	if x := os.Getenv("XDG_DATA_HOME"); x != "" {
		return filepath.Join(x, "kiln")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "data"
	}
	return filepath.Join(home, ".local", "share", "kiln")
}

// readConfig takes flags over variables over defaults and reports every problem at once. rest are the arguments that are no flags.
func readConfig(command string, args, environ []string, out io.Writer) (c config, rest []string, err error) {
	env := environment(environ)
	rows := c.settings()
	fs := flag.NewFlagSet("kiln "+command, flag.ContinueOnError)
	fs.SetOutput(out)
	var problems []error
	for _, s := range rows {
		v, err := s.fromEnvironment(env)
		if err != nil {
			problems = append(problems, err)
		}
		*s.field = v
		if s.flag != "" {
			fs.StringVar(s.field, s.flag, v, s.help+" ("+s.env+")")
		}
	}
	fs.BoolVar(&c.UnsafeNoSandbox, "unsafe-no-sandbox", false, "run functions without a sandbox: for development on machines that have none")
	if err := fs.Parse(args); err != nil {
		return c, nil, err
	}
	problems = append(problems, unknownVariables(rows, env)...)
	problems = append(problems, c.check()...)
	return c, fs.Args(), errors.Join(problems...)
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, e := range environ {
		k, v, _ := strings.Cut(e, "=")
		env[k] = v
	}
	return env
}

func (s setting) fromEnvironment(env map[string]string) (string, error) {
	v, file := env[s.env], env[s.env+"_FILE"]
	switch {
	case s.secret && v != "" && file != "":
		return v, fmt.Errorf("%s and %s_FILE are both set: keep one", s.env, s.env)
	case s.secret && file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_FILE cannot be read: %w", s.env, err)
		}
		return strings.TrimSpace(string(b)), nil
	case v != "":
		return v, nil
	}
	return s.def, nil
}

// unknownVariables finds KILN_ variables that no setting reads: a typing mistake must not be silence.
func unknownVariables(rows []setting, env map[string]string) (problems []error) {
	known := []string{"KILN_PARENT_FD"} // set by the root parent for the server
	for _, s := range rows {
		known = append(known, s.env)
		if s.secret {
			known = append(known, s.env+"_FILE")
		}
	}
	var unknown []string
	for k := range env {
		if strings.HasPrefix(k, "KILN_") && !strings.HasPrefix(k, "KILN_TEST_") && !slices.Contains(known, k) {
			unknown = append(unknown, k)
		}
	}
	slices.Sort(unknown)
	for _, k := range unknown {
		problems = append(problems, fmt.Errorf("%s is not a setting of Kiln (kiln serve -h lists them)", k))
	}
	return problems
}

var (
	regionPattern  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
	accountPattern = regexp.MustCompile(`^\d{12}$`)
	keyIDPattern   = regexp.MustCompile(`^[A-Z0-9]{16,128}$`)
	domainPattern  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

// check reports every value and every combination that cannot work.
func (c *config) check() (problems []error) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, l := range []struct{ name, addr string }{{"KILN_LISTEN", c.Listen}, {"KILN_GATEWAY_LISTEN", c.GatewayListen}} {
		if _, _, err := net.SplitHostPort(l.addr); err != nil {
			bad("%s: %q is not host:port", l.name, l.addr)
		}
	}
	if c.Listen == c.GatewayListen && !strings.HasSuffix(c.Listen, ":0") {
		bad("KILN_LISTEN and KILN_GATEWAY_LISTEN are both %s: functions must answer on an address of their own", c.Listen)
	}
	if !regionPattern.MatchString(c.Region) {
		bad("KILN_REGION: %q is not a region (for example us-east-1)", c.Region)
	}
	if !accountPattern.MatchString(c.AccountID) {
		bad("KILN_ACCOUNT_ID: %q is not 12 digits", c.AccountID)
	}
	if !slices.Contains([]string{"auto", "A", "B", "C"}, c.Isolation) {
		bad("KILN_ISOLATION: %q is not auto, A, B or C", c.Isolation)
	}
	if !filepath.IsAbs(c.Data) {
		bad("KILN_DATA: %q is not an absolute path", c.Data)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		bad("KILN_LOG_LEVEL: %q is not debug, info, warn or error", c.LogLevel)
	}
	problems = append(problems, c.checkKeys()...)
	problems = append(problems, c.checkAddresses()...)
	return problems
}

func (c *config) checkKeys() (problems []error) {
	if (c.RootKeyID == "") != (c.RootSecret == "") {
		problems = append(problems, errors.New("KILN_ROOT_ACCESS_KEY_ID and KILN_ROOT_SECRET_ACCESS_KEY go together: set both or neither"))
	}
	if c.RootKeyID != "" && !keyIDPattern.MatchString(c.RootKeyID) {
		problems = append(problems, errors.New("KILN_ROOT_ACCESS_KEY_ID is not 16 to 128 capital letters and digits"))
	}
	if c.RootSecret != "" && len(c.RootSecret) < 16 {
		problems = append(problems, errors.New("KILN_ROOT_SECRET_ACCESS_KEY is shorter than 16 characters"))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		problems = append(problems, errors.New("KILN_TLS_CERT and KILN_TLS_KEY go together: set both or neither"))
	}
	return problems
}

func (c *config) checkAddresses() (problems []error) {
	consoleHost := ""
	if c.ConsoleURL != "" {
		u, err := url.Parse(c.ConsoleURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			problems = append(problems, fmt.Errorf("KILN_CONSOLE_URL: %q is not http(s)://host[:port]", c.ConsoleURL))
		} else {
			consoleHost = u.Hostname()
		}
	}
	if !domainPattern.MatchString(c.GatewayDomain) {
		problems = append(problems, fmt.Errorf("KILN_GATEWAY_DOMAIN: %q is not a domain", c.GatewayDomain))
	} else if c.GatewayDomain != "localhost" && consoleHost != "" && sameSite(c.GatewayDomain, consoleHost) {
		problems = append(problems, fmt.Errorf("KILN_GATEWAY_DOMAIN %s and the console's host %s share a site: functions could reach the console's cookies; use another domain", c.GatewayDomain, consoleHost))
	}
	if u, err := url.Parse(c.NPMRegistry); err != nil || u.Host == "" {
		problems = append(problems, fmt.Errorf("KILN_NPM_REGISTRY: %q is not an address", c.NPMRegistry))
	}
	for _, p := range strings.FieldsFunc(c.TrustedProxies, func(r rune) bool { return r == ',' || r == ' ' }) {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			problems = append(problems, fmt.Errorf("KILN_TRUSTED_PROXIES: %q is not a CIDR", p))
			continue
		}
		c.trustedProxyNets = append(c.trustedProxyNets, prefix)
	}
	return problems
}

// sameSite says whether one domain is the other, above it, or shares its last two labels (a cautious reading of "registrable domain").
func sameSite(a, b string) bool {
	if a == b || strings.HasSuffix(a, "."+b) || strings.HasSuffix(b, "."+a) {
		return true
	}
	return lastTwo(a) == lastTwo(b) && strings.Contains(a, ".")
}

func lastTwo(d string) string {
	labels := strings.Split(d, ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}

// masterKeyPath is where the master key is read from or made.
func (c *config) masterKeyPath() string {
	if c.MasterKeyFile != "" {
		return c.MasterKeyFile
	}
	return filepath.Join(c.Data, "master.key")
}
