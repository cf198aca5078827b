package runner

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kiln/executor/runtimes"
	"kiln/lambda"
)

const wrapperName = "AWS_LAMBDA_EXEC_WRAPPER"

// bootsCold says whether a function cannot use a pre-booted runtime, because its program or its environment must be there from the start.
// The variable that is the reason is named.
func bootsCold(run *lambda.Runnable, family runtimes.Family) (reason string, cold bool) {
	if family == runtimes.Provided {
		return "provided", true
	}
	for _, name := range run.Env.Names() {
		switch {
		case name == "NODE_ENV": // read by packages, not by Node.js
		case name == wrapperName && run.Env[name] != "",
			strings.HasPrefix(name, "NODE_") && family == runtimes.Node,
			strings.HasPrefix(name, "PYTHON") && family == runtimes.Python,
			strings.HasPrefix(name, "LD_"):
			return name, true
		}
	}
	return "", false
}

// identity is what makes a worker of one function known to its code.
type identity struct {
	stream string // the log stream's name
	creds  Credentials
	region string
	api    string // host:port of the Runtime API
	aws    string // URL of Kiln's AWS endpoint, or ""
}

// environment is AWS's environment of a worker. The function's own variables win over paths and locale, never over the reserved ones.
func environment(run *lambda.Runnable, rt runtimes.Runtime, id identity) map[string]string {
	env := map[string]string{
		"LANG": "en_US.UTF-8", "TZ": ":UTC", "PWD": "/var/task",
		"PATH":            searchPath(rt),
		"LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
	}
	switch rt.Family {
	case runtimes.Python:
		env["PYTHONPATH"] = "/var/runtime"
	case runtimes.Node:
		major, _, _ := strings.Cut(strings.TrimPrefix(run.Runtime, "nodejs"), ".")
		env["NODE_PATH"] = "/opt/nodejs/node" + major + "/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"
	}
	if id.aws != "" {
		env["AWS_ENDPOINT_URL"] = id.aws
	}
	maps.Copy(env, run.Env)
	maps.Copy(env, reserved(run, id))
	return env
}

func searchPath(rt runtimes.Runtime) string {
	path := "/usr/local/bin:/usr/bin:/bin:/opt/bin"
	if rt.Binary != "" && rt.Prefix != "" {
		return filepath.Dir(rt.Binary) + ":" + path
	}
	return path
}

func reserved(run *lambda.Runnable, id identity) map[string]string {
	env := map[string]string{
		"_HANDLER":                        run.Handler,
		"AWS_DEFAULT_REGION":              id.region,
		"AWS_REGION":                      id.region,
		"AWS_EXECUTION_ENV":               "AWS_Lambda_" + run.Runtime,
		"AWS_LAMBDA_FUNCTION_NAME":        run.Function,
		"AWS_LAMBDA_FUNCTION_VERSION":     run.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(run.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       logGroup(run),
		"AWS_LAMBDA_LOG_STREAM_NAME":      id.stream,
		"AWS_LAMBDA_RUNTIME_API":          id.api,
		"LAMBDA_TASK_ROOT":                "/var/task",
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
	}
	if id.creds.AccessKeyID != "" {
		env["AWS_ACCESS_KEY_ID"] = id.creds.AccessKeyID
		env["AWS_SECRET_ACCESS_KEY"] = id.creds.SecretAccessKey
		env["AWS_SESSION_TOKEN"] = id.creds.SessionToken
	}
	if run.LogFormat == "JSON" {
		env["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
		env["AWS_LAMBDA_LOG_LEVEL"] = appLevel(run)
	}
	return env
}

func appLevel(run *lambda.Runnable) string {
	if run.AppLogLevel == "" {
		return "INFO"
	}
	return run.AppLogLevel
}

func logGroup(run *lambda.Runnable) string { return "/aws/lambda/" + run.Function }

// pairs is env as NAME=value, sorted.
func pairs(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// classes are the memory limits that runtimes are booted with, so that a pre-booted one fits many functions.
var classes = []int{128, 256, 512, 1024}

// classOf is the limit to boot with for a function of mb: the next class, or mb itself above the classes.
func classOf(mb int) int {
	for _, c := range classes {
		if mb <= c {
			return c
		}
	}
	return mb
}

// milliCPU is a function's share of the processor as AWS gives it.
func milliCPU(mb int) int { return max(mb*1000/1769, 1) }
