package runner_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"kiln/executor"
	"kiln/lambda"
)

// scenario is one function, one event, and what must come of it.
type scenario struct {
	name    string
	runtime string // default: the table's
	handler string // default: the table's
	files   map[string]string
	env     lambda.Environment
	format  string
	event   string // default {}
	timeout time.Duration

	want      string // payload; "" leaves it unchecked
	errorType string // of the error object; "" means no error
	message   string // part of its errorMessage, "ID" stands for the request id
	shown     string // error type in the report when it differs
	status    lambda.Status
	says      []string // "LEVEL text" of lines that must be there, in order
	again     string   // payload of a second call, which must not be a cold start; "" for none
	restarts  bool     // the second call is a cold start
	check     func(t *testing.T, out executor.Outcome, lines []lambda.LogLine)
}

var levels = [...]string{"-", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}

func runScenarios(t *testing.T, s *stand, runtime, handler string, table []scenario) {
	for _, c := range table {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) { s.scenario(t, runtime, handler, &c) })
	}
}

func (s *stand) scenario(t *testing.T, runtime, handler string, c *scenario) {
	cfg := lambda.Config{Runtime: runtime, Handler: handler, Env: c.env, LogFormat: c.format}
	if c.runtime != "" {
		cfg.Runtime = c.runtime
	}
	if c.handler != "" {
		cfg.Handler = c.handler
	}
	if c.event == "" {
		c.event = "{}"
	}
	d := s.Deploy(t, "scenario", cfg, c.files)
	a := event(d, c.event)
	if c.timeout > 0 {
		a.Timeout = c.timeout
	}
	out := s.do(t, a)
	lines := s.Said(a.RequestID)
	c.judge(t, a, out, lines)
	if c.check != nil {
		c.check(t, out, lines)
	}
	if c.again != "" || c.restarts {
		// A bash worker asks for its next event a while after it answered; until then another call may start a second worker.
		eventually(t, "the worker asks for more, or is gone", func() bool { return s.Capacity().Running == 0 })
		b := event(d, c.event)
		b.Timeout = a.Timeout
		second := s.do(t, b)
		if c.again != "" && string(second.Payload) != c.again {
			t.Errorf("the second call answered %s (%s)", clipped(second.Payload), second.FunctionError)
		}
		if second.Report.Cold != c.restarts {
			t.Errorf("the second call: cold %v", second.Report.Cold)
		}
	}
}

func (c *scenario) judge(t *testing.T, a executor.Assignment, out executor.Outcome, lines []lambda.LogLine) {
	t.Helper()
	if c.want != "" && string(out.Payload) != c.want {
		t.Errorf("answered %s, want %s", clipped(out.Payload), c.want)
	}
	if (c.errorType != "") != (out.FunctionError == "Unhandled") {
		t.Errorf("function error %q: %s", out.FunctionError, clipped(out.Payload))
	}
	status := c.status
	if status == "" {
		status = lambda.StatusOK
		if c.errorType != "" {
			status = lambda.StatusError
		}
	}
	if out.Report.Status != status {
		t.Errorf("status %s, want %s", out.Report.Status, status)
	}
	if c.errorType != "" {
		c.judgeError(t, a, out)
	}
	at := 0
	for _, want := range c.says {
		for at < len(lines) && levels[lines[at].Level]+" "+lines[at].Text != want {
			at++
		}
		if at == len(lines) {
			t.Errorf("no line %q in %s", want, texts(lines))
		}
	}
}

func (c *scenario) judgeError(t *testing.T, a executor.Assignment, out executor.Outcome) {
	t.Helper()
	var o struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(out.Payload, &o); err != nil {
		t.Errorf("the error is no object: %s", clipped(out.Payload))
	}
	message := strings.ReplaceAll(c.message, "ID", a.RequestID)
	if o.ErrorType != c.errorType || !strings.Contains(o.ErrorMessage, message) {
		t.Errorf("error %s: %s, want %s: %s", o.ErrorType, o.ErrorMessage, c.errorType, message)
	}
	shown := c.errorType
	if c.shown != "" {
		shown = c.shown
	}
	if out.Report.ErrorType != shown || !strings.Contains(out.Report.ErrorMessage, message) {
		t.Errorf("report says %s: %s", out.Report.ErrorType, out.Report.ErrorMessage)
	}
}

func texts(lines []lambda.LogLine) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("\n  " + levels[l.Level] + " " + string(clipped([]byte(l.Text))))
	}
	return b.String()
}

func clipped(b []byte) []byte { return b[:min(len(b), 300)] }

func js(code string) map[string]string  { return map[string]string{"index.js": code} }
func mjs(code string) map[string]string { return map[string]string{"index.mjs": code} }
func py(code string) map[string]string  { return map[string]string{"app.py": code} }

// nodeRuntimes are the ones of this machine that the table runs on.
func runtimesOf(t *testing.T, prefix string) []string {
	var names []string
	for _, r := range machine.All() {
		if strings.HasPrefix(r.Name, prefix) {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		t.Skip("this machine has no " + prefix)
	}
	return names
}

func TestNodeHandlers(t *testing.T) {
	for _, runtime := range runtimesOf(t, "nodejs") {
		t.Run(runtime, func(t *testing.T) {
			runScenarios(t, newStand(t, nil), runtime, "index.handler", nodeTable)
		})
	}
}

var nodeTable = []scenario{
	{name: "async", files: js(`exports.handler = async e => ({ n: e.n + 1 })`), event: `{"n":1}`, want: `{"n":2}`, again: `{"n":2}`},
	{name: "ES module", files: mjs(`let n = 0; export const handler = async () => ++n`), want: `1`, again: `2`},
	{name: "ES module by package.json", files: map[string]string{"package.json": `{"type":"module"}`, "index.js": `import fs from 'node:fs'; export const handler = async () => typeof fs.readFileSync`}, want: `"function"`},
	{name: "top-level await", files: mjs(`const v = await Promise.resolve(5); export const handler = async () => v`), want: `5`},
	{name: "nested folder and export", handler: "src/lib/main.api.get", files: map[string]string{"src/lib/main.cjs": `exports.api = { get: async () => 'deep' }`}, want: `"deep"`},
	{name: "promise without async", files: js(`exports.handler = () => Promise.resolve('p')`), want: `"p"`},
	{name: "undefined is null", files: js(`exports.handler = async () => {}`), want: `null`},
	{name: "throws", files: js(`exports.handler = async () => { throw new TypeError('no luck') }`), errorType: "TypeError", message: "no luck"},
	{name: "throws synchronously", files: js(`exports.handler = () => { throw new RangeError('far') }`), errorType: "RangeError", message: "far"},
	{name: "rejects with a string", files: js(`exports.handler = () => Promise.reject('plain')`), errorType: "string", message: "plain"},
	{name: "throws a class of its own", files: js(`class OrderError extends Error { constructor(m) { super(m); this.name = 'OrderError' } } exports.handler = async () => { throw new OrderError('gone') }`), errorType: "OrderError", message: "gone"},
	{name: "goes on after an error", files: js(`let n = 0; exports.handler = async () => { if (++n === 1) throw new Error('first'); return n }`), errorType: "Error", message: "first", again: `2`},
	{name: "syntax error", files: js(`exports.handler = async () => {`), errorType: "Runtime.UserCodeSyntaxError", message: "SyntaxError"},
	{name: "missing file", files: map[string]string{"other.js": ""}, errorType: "Runtime.ImportModuleError", message: "Cannot find module 'index'"},
	{name: "missing package", files: js(`require('left-pad-of-nowhere')`), errorType: "Runtime.ImportModuleError", message: "left-pad-of-nowhere"},
	{name: "missing import", files: mjs(`import 'left-pad-of-nowhere'; export const handler = 1`), errorType: "Runtime.ImportModuleError", message: "left-pad-of-nowhere"},
	{name: "missing handler", files: js(`exports.other = 1`), errorType: "Runtime.HandlerNotFound", message: "index.handler is undefined or not exported"},
	{name: "handler is no function", files: js(`exports.handler = 1`), errorType: "Runtime.HandlerNotFound", message: "index.handler is not a function"},
	{name: "malformed handler", handler: "index", files: js(`exports.handler = 1`), errorType: "Runtime.MalformedHandlerName", message: "Bad handler"},
	{name: "handler outside", handler: "../etc/passwd.x", files: js(``), errorType: "Runtime.MalformedHandlerName"},
	{name: "throws while loading", files: js(`throw new TypeError('at load')`), errorType: "TypeError", message: "at load"},
	{name: "exits while loading", files: js(`process.exit(3)`), errorType: "Runtime.ExitError", message: "RequestId: ID Error: Runtime exited with error: exit status 3", status: lambda.StatusExit},
	{name: "exits with 0", files: js(`exports.handler = async () => process.exit(0)`), errorType: "Runtime.ExitError", message: "RequestId: ID Error: Runtime exited without providing a reason", status: lambda.StatusExit, restarts: true},
	{name: "exits with 7", files: js(`exports.handler = async () => { console.log('bye'); process.exit(7) }`), errorType: "Runtime.ExitError", message: "Runtime exited with error: exit status 7", status: lambda.StatusExit, says: []string{"INFO bye", "ERROR Runtime exited with error: exit status 7"}},
	{name: "uncaught later", files: js(`exports.handler = () => new Promise(() => setTimeout(() => { throw new Error('stray') }, 1))`), errorType: "Error", message: "stray", restarts: true},
	{name: "unhandled rejection", files: js(`exports.handler = () => new Promise(() => { setTimeout(() => Promise.reject(new TypeError('lost')), 1) })`), errorType: "Runtime.UnhandledPromiseRejection", message: "TypeError: lost", restarts: true},
	{name: "never settles", files: js(`exports.handler = async () => { await new Promise(() => {}) }`), errorType: "Runtime.NodeJsExit", message: "never settled"},
	{name: "times out", files: js(`exports.handler = async () => { console.log('in'); await new Promise(r => setTimeout(r, 60000)) }`), timeout: time.Second, errorType: "Sandbox.Timedout", message: "RequestId: ID Error: Task timed out after 1.00 seconds", status: lambda.StatusTimeout, says: []string{"INFO in", "ERROR Task timed out after 1.00 seconds"}},
	{name: "times out in a busy loop", files: js(`exports.handler = async () => { for (;;); }`), timeout: 300 * time.Millisecond, errorType: "Sandbox.Timedout", message: "Task timed out after 0.30 seconds", status: lambda.StatusTimeout, restarts: true},
	{name: "unserialisable", files: js(`exports.handler = async () => { const a = {}; a.a = a; return a }`), errorType: "Runtime.MarshalError", message: "Unable to stringify response body"},
	{name: "BigInt", files: js(`exports.handler = async () => 10n`), errorType: "Runtime.MarshalError"},
	{name: "levels", files: js(`exports.handler = async () => { console.log('l'); console.info('i'); console.warn('w'); console.error('e'); console.debug('d'); console.trace('t'); console.log('%d of %s', 1, 'x', { a: 1 }); console.log('two\nlines') }`),
		says: []string{"INFO l", "INFO i", "WARN w", "ERROR e", "DEBUG d", "TRACE t", "INFO 1 of x { a: 1 }", "INFO two\nlines"}},
	{name: "JSON format", format: "JSON", files: js(`exports.handler = async () => { console.debug('below'); console.warn('w', 1); console.error(new TypeError('x')) }`), check: jsonLines},
	{name: "raw output", files: js(`exports.handler = async () => { process.stdout.write('one\ntwo\r\nth'); process.stdout.write('ree\n'); process.stderr.write('open end'); process.stdout.write('{"level":"warn","msg":"m"}\n') }`),
		says: []string{"- one", "- two", "- three", `WARN {"level":"warn","msg":"m"}`}, check: saysAnywhere("open end")},
	{name: "invalid UTF-8 and NUL", files: js(`exports.handler = async () => { process.stdout.write(Buffer.from([0x61, 0xff, 0x62, 0, 0x63, 0x0a])) }`), says: []string{"- a\uFFFDb?c"}},
	{name: "closes stdout", files: js(`exports.handler = async () => { require('fs').closeSync(1); require('fs').closeSync(2); require('fs').closeSync(4); console.log('lost'); return 1 }`), want: `1`, again: ``},
	{name: "a line of 20 MB", files: js(`exports.handler = async () => { process.stdout.write('x'.repeat(20 << 20) + '\n'); console.log('y'.repeat(20 << 20)); return 1 }`), want: `1`, check: longLine},
	{name: "answers 6 MB", files: js(`exports.handler = async e => 'x'.repeat(e.n)`), event: `{"n":6291554}`, check: size(6291556)},
	{name: "answers too much", files: js(`exports.handler = async e => 'x'.repeat(e.n)`), event: `{"n":6291555}`, errorType: "Function.ResponseSizeTooLarge", message: "(6291556 bytes)", restarts: false},
	{name: "takes 6 MB", files: js(`exports.handler = async e => e.length`), event: `"` + strings.Repeat("é", 3<<20) + `"`, want: "3145728"},
	{name: "context", files: js(`exports.handler = async (e, c) => [c.functionName, c.functionVersion, c.memoryLimitInMB, c.logGroupName, c.logStreamName.slice(10, 20), c.invokedFunctionArn, typeof c.awsRequestId, c.getRemainingTimeInMillis() > 9000, c.callbackWaitsForEmptyEventLoop]`),
		want: `["scenario","$LATEST","128","/aws/lambda/scenario","/[$LATEST]","arn:aws:lambda:us-east-1:000000000000:function:f","string",true,true]`},
	{name: "environment", env: lambda.Environment{"MINE": "yes", "TZ": "Asia/Seoul"}, files: js(`exports.handler = async () => [process.env.MINE, new Date(0).getHours(), process.env.AWS_LAMBDA_FUNCTION_NAME, process.env._HANDLER, process.env.AWS_EXECUTION_ENV.slice(0, 17), process.env.AWS_ACCESS_KEY_ID.slice(0, 8), process.env.HOME]`),
		want: `["yes",9,"scenario","index.handler","AWS_Lambda_nodejs","ASIATEST",null]`},
	{name: "NODE_OPTIONS boots cold", env: lambda.Environment{"NODE_OPTIONS": "--stack-trace-limit=3"}, files: js(`exports.handler = async () => process.env.NODE_OPTIONS + Error.stackTraceLimit`), want: `"--stack-trace-limit=33"`, again: `"--stack-trace-limit=33"`},
	{name: "timers of before go on", files: js(`let fired = 0; exports.handler = async () => { setTimeout(() => fired++, 0); await new Promise(r => setTimeout(r, 5)); return fired }`), want: `1`, again: `2`},
	{name: "streams without a receiver", files: js(`exports.handler = awslambda.streamifyResponse(async (e, out) => { out.write('a'); out.write('b'); out.end('c') })`), want: `abc`, again: `abc`},
}

func jsonLines(t *testing.T, _ executor.Outcome, lines []lambda.LogLine) {
	if len(lines) != 2 || lines[0].Level != lambda.LevelWarn || lines[1].Level != lambda.LevelError {
		t.Fatalf("lines: %s", texts(lines))
	}
	var first, second map[string]any
	if err := errors.Join(json.Unmarshal([]byte(lines[0].Text), &first), json.Unmarshal([]byte(lines[1].Text), &second)); err != nil {
		t.Fatal(err)
	}
	if first["message"] != "w 1" || !strings.HasPrefix(first["level"].(string), "WARN") || first["requestId"] == nil || second["errorType"] != "TypeError" || second["stackTrace"] == nil {
		t.Errorf("%v %v", first, second)
	}
}

func longLine(t *testing.T, _ executor.Outcome, lines []lambda.LogLine) {
	total, whole := 0, 0
	for _, l := range lines {
		total += len(l.Text)
		if len(l.Text) > 262_144 {
			t.Errorf("a piece of %d bytes", len(l.Text))
		}
		if !l.Cut {
			whole++
		}
	}
	if total != 40<<20 || whole != 2 {
		t.Errorf("%d bytes in %d lines", total, whole)
	}
}

func size(n int) func(*testing.T, executor.Outcome, []lambda.LogLine) {
	return func(t *testing.T, out executor.Outcome, _ []lambda.LogLine) {
		if len(out.Payload) != n || out.Report.ResponseSize != n {
			t.Errorf("%d bytes, reported %d", len(out.Payload), out.Report.ResponseSize)
		}
	}
}

func contains(part string) func(*testing.T, executor.Outcome, []lambda.LogLine) {
	return func(t *testing.T, out executor.Outcome, _ []lambda.LogLine) {
		if !bytes.Contains(out.Payload, []byte(part)) {
			t.Errorf("answered %s, want %s in it", clipped(out.Payload), part)
		}
	}
}

func saysAnywhere(part string) func(*testing.T, executor.Outcome, []lambda.LogLine) {
	return func(t *testing.T, _ executor.Outcome, lines []lambda.LogLine) {
		if !strings.Contains(texts(lines), part) {
			t.Errorf("no %q in %s", part, texts(lines))
		}
	}
}

func TestNodeCallbackHandlers(t *testing.T) {
	s := newStand(t, nil)
	runScenarios(t, s, "nodejs22.x", "index.handler", []scenario{
		{name: "callback", files: js(`exports.handler = (e, c, done) => setTimeout(() => done(null, { ok: true }), 1)`), want: `{"ok":true}`, again: `{"ok":true}`},
		{name: "answers twice", files: js(`exports.handler = (e, c, done) => { c.callbackWaitsForEmptyEventLoop = false; done(null, 1); done(null, 2); return Promise.resolve(1) }`), want: `1`, again: `1`},
		{name: "callback error", files: js(`exports.handler = (e, c, done) => done(new RangeError('r'))`), errorType: "RangeError", message: "r"},
		{name: "callback string error", files: js(`exports.handler = (e, c, done) => done('bad')`), errorType: "string", message: "bad"},
		{name: "callback waits for the empty loop", files: js(`let late = 0; exports.handler = (e, c, done) => { setTimeout(() => late++, 20); done(null, 'x' + late) }; process.on('exit', () => {})`), want: `"x0"`, again: `"x1"`},
		{name: "callback does not wait", files: js(`let late = 0; exports.handler = (e, c, done) => { c.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 100000); done(null, late) }`), want: `0`, again: `0`},
		{name: "plain return is null with a hint", files: js(`exports.handler = () => ({ statusCode: 200 })`), want: `null`, says: []string{`WARN The handler returned a value but is not async, so the answer is null unless it calls back. Write "async" before the function.`}},
		{name: "done succeed fail", files: js(`exports.handler = (e, c) => e.f ? c.fail(new Error('f')) : c.succeed(1)`), want: `1`},
	})
	runScenarios(t, s, "nodejs24.x", "index.handler", []scenario{
		{name: "callbacks are gone", files: js(`exports.handler = (e, c, done) => done(null, 1)`), errorType: "Runtime.CallbackHandlerDeprecated", message: "removed support for callback-based"},
		{name: "plain return", files: js(`exports.handler = () => 5`), want: `5`},
	})
}

func TestPythonHandlers(t *testing.T) {
	for _, runtime := range runtimesOf(t, "python") {
		t.Run(runtime, func(t *testing.T) {
			runScenarios(t, newStand(t, nil), runtime, "app.handler", pythonTable)
		})
	}
}

var pythonTable = []scenario{
	{name: "returns", files: py("n = 0\ndef handler(e, c):\n    global n\n    n += 1\n    return {'n': n, 'e': e}"), event: `{"a":"é"}`, check: contains(`"n": 1`)},
	{name: "module caching", files: py("n = 0\ndef handler(e, c):\n    global n\n    n += 1\n    return n"), want: "1", again: "2"},
	{name: "None is null", files: py("def handler(e, c): pass"), want: "null"},
	{name: "nested module", handler: "src/lib/main.handler", files: map[string]string{"src/lib/main.py": "def handler(e, c): return 'deep'"}, want: `"deep"`},
	{name: "imports its neighbour", files: map[string]string{"app.py": "import neighbour\ndef handler(e, c): return neighbour.x", "neighbour.py": "x = 5"}, want: "5"},
	{name: "raises", files: py("def handler(e, c):\n    raise ValueError('no luck')"), errorType: "ValueError", message: "no luck", check: contains(`"stackTrace": ["  File `), again: ""},
	{name: "raises its own", files: py("class OrderError(Exception): pass\ndef handler(e, c):\n    raise OrderError('gone')"), errorType: "OrderError", message: "gone"},
	{name: "goes on after an error", files: py("n = 0\ndef handler(e, c):\n    global n\n    n += 1\n    if n == 1: raise KeyError('k')\n    return n"), errorType: "KeyError", message: "'k'", again: "2"},
	{name: "syntax error", files: py("def handler(e, c)\n    pass"), errorType: "Runtime.UserCodeSyntaxError", message: "Syntax error in module 'app'"},
	{name: "missing file", files: map[string]string{"other.py": ""}, errorType: "Runtime.ImportModuleError", message: "Unable to import module 'app': No module named 'app'"},
	{name: "missing package", files: py("import nowhere_at_all"), errorType: "Runtime.ImportModuleError", message: "No module named 'nowhere_at_all'"},
	{name: "missing handler", files: py("x = 1"), errorType: "Runtime.HandlerNotFound", message: "Handler 'handler' missing on module 'app'"},
	{name: "malformed handler", handler: "app", files: py("x = 1"), errorType: "Runtime.MalformedHandlerName", message: "not enough values to unpack"},
	{name: "raises while loading", files: py("raise RuntimeError('at load')"), errorType: "RuntimeError", message: "at load"},
	{name: "exits while loading", files: py("import sys\nsys.exit(3)"), errorType: "Runtime.ExitError", message: "exit status 3", status: lambda.StatusExit},
	{name: "exits", files: py("import sys\ndef handler(e, c):\n    print('bye')\n    sys.exit(0)"), errorType: "Runtime.ExitError", message: "RequestId: ID Error: Runtime exited without providing a reason", status: lambda.StatusExit, says: []string{"- bye"}, restarts: true},
	{name: "times out", files: py("import time\ndef handler(e, c):\n    print('in', flush=False)\n    time.sleep(60)"), timeout: time.Second, errorType: "Sandbox.Timedout", message: "Task timed out after 1.00 seconds", status: lambda.StatusTimeout, says: []string{"- in"}, restarts: true},
	{name: "unserialisable", files: py("def handler(e, c): return {1, 2}"), errorType: "Runtime.MarshalError", message: "Unable to marshal response: Object of type set is not JSON serializable"},
	{name: "decimals", files: py("from decimal import Decimal\ndef handler(e, c): return Decimal('1.5')"), want: "1.5"},
	{name: "print and logging", files: py("import logging\nlog = logging.getLogger('x')\nlog.setLevel(10)\ndef handler(e, c):\n    print('p', 1)\n    log.debug('d')\n    log.info('i %s', 2)\n    log.warning('w')\n    log.error('e')\n    log.critical('c')"),
		says: []string{"DEBUG d", "INFO i 2", "WARN w", "ERROR e", "FATAL c"}, check: saysAnywhere("- p 1")},
	{name: "JSON format", format: "JSON", files: py("import logging\ndef handler(e, c):\n    logging.debug('below')\n    logging.warning('w %d', 1)\n    try:\n        raise TypeError('x')\n    except TypeError:\n        logging.exception('oh')"), check: jsonLines},
	{name: "raw output", files: py("import os, sys\ndef handler(e, c):\n    os.write(1, b'a\\xffb\\x00c\\n')\n    sys.stderr.write('open end')"), says: []string{"- a\uFFFDb?c"}, check: saysAnywhere("open end")},
	{name: "closes stdout", files: py("import os, sys\ndef handler(e, c):\n    sys.stdout.close()\n    os.close(2)\n    os.close(4)\n    return 1"), want: "1"},
	{name: "a line of 20 MB", files: py("import logging\ndef handler(e, c):\n    print('x' * (20 << 20))\n    logging.warning('y' * (20 << 20))\n    return 1"), want: "1", check: longLine},
	{name: "answers 6 MB", files: py("def handler(e, c): return 'x' * e['n']"), event: `{"n":6291554}`, check: size(6291556)},
	{name: "answers too much", files: py("def handler(e, c): return 'x' * e['n']"), event: `{"n":6291555}`, errorType: "Function.ResponseSizeTooLarge", message: "(6291556 bytes)"},
	{name: "takes 6 MB", files: py("def handler(e, c): return len(e)"), event: `"` + strings.Repeat("é", 3<<20) + `"`, want: "3145728"},
	{name: "context", files: py("def handler(e, c): return [c.function_name, c.function_version, c.memory_limit_in_mb, c.log_group_name, c.log_stream_name[10:20], c.invoked_function_arn, len(c.aws_request_id), c.get_remaining_time_in_millis() > 9000, c.client_context, c.identity.cognito_identity_id]"),
		want: `["scenario", "$LATEST", "128", "/aws/lambda/scenario", "/[$LATEST]", "arn:aws:lambda:us-east-1:000000000000:function:f", 36, true, null, null]`},
	{name: "environment", env: lambda.Environment{"MINE": "yes", "TZ": "Asia/Seoul"}, files: py("import os, time\ndef handler(e, c): return [os.environ['MINE'], time.localtime(0).tm_hour, os.environ['AWS_LAMBDA_FUNCTION_NAME'], os.environ['_HANDLER'], os.environ.get('HOME'), os.getcwd() == __file__.rpartition('/')[0]]"),
		want: `["yes", 9, "scenario", "app.handler", null, true]`},
	{name: "PYTHON variables boot cold", env: lambda.Environment{"PYTHONHASHSEED": "0"}, files: py("import sys\ndef handler(e, c): return sys.flags.hash_randomization"), want: "0", again: "0"},
	{name: "threads of before go on", files: py("import threading, time\nn = 0\ndef work():\n    global n\n    while True:\n        n += 1\n        time.sleep(0.001)\nthreading.Thread(target=work, daemon=True).start()\ndef handler(e, c):\n    time.sleep(0.02)\n    return n > 0"), want: "true", again: "true"},
}

// A sandbox's first process cannot kill itself: these run on plain processes only.
func TestKilledWorkersAreReplaced(t *testing.T) {
	s := newStand(t, nil)
	runScenarios(t, s, "nodejs20.x", "index.handler", []scenario{
		{name: "is killed", files: js(`exports.handler = async () => { process.kill(process.pid, 'SIGKILL'); await new Promise(r => setTimeout(r, 5000)) }`), errorType: "Runtime.ExitError", message: "signal: killed", status: lambda.StatusExit, restarts: true},
	})
	runScenarios(t, s, "python3.11", "app.handler", []scenario{
		{name: "is killed", files: py("import os, signal\ndef handler(e, c): os.kill(os.getpid(), signal.SIGKILL)"), errorType: "Runtime.ExitError", message: "signal: killed", status: lambda.StatusExit, restarts: true},
	})
}

func TestHandlersInTheSandbox(t *testing.T) {
	s := newSandboxStand(t)
	runScenarios(t, s, "nodejs20.x", "index.handler", nodeTable)
	runScenarios(t, s, "python3.11", "app.handler", pythonTable)
}
