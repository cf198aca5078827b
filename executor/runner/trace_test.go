package runner_test

import (
	"testing"

	"kiln/lambda"
)

// Each invocation has a trace id of its own. It must not go through setenv, whose C library keeps every value for ever.
func TestTheTraceIDIsThatOfTheCurrentInvocation(t *testing.T) {
	s := newStand(t, nil)
	for _, c := range []struct {
		runtime, handler string
		files            map[string]string
	}{
		{"nodejs", "index.handler", js(`exports.handler = async () => {
			const child = require('child_process').execFileSync(process.execPath, ['-p', 'process.env._X_AMZN_TRACE_ID'], { encoding: 'utf8' }).trim();
			const seen = process.env._X_AMZN_TRACE_ID;
			return '_X_AMZN_TRACE_ID' in process.env && child !== String(seen) ? 'child ' + child : seen === undefined ? 'none' : seen }`)},
		{"python", "app.handler", py("import os\ndef handler(e, c):\n    return os.environ.get('_X_AMZN_TRACE_ID', 'none')")},
	} {
		d := s.Deploy(t, "trace", lambda.Config{Runtime: runtimesOf(t, c.runtime)[0], Handler: c.handler}, c.files)
		for trace, want := range map[string]string{"Root=1;Lineage=a:1": `"Root=1;Lineage=a:1"`, "Root=2": `"Root=2"`, "": `"none"`} {
			a := event(d, "{}")
			a.TraceID = trace
			if out := s.do(t, a); string(out.Payload) != want {
				t.Errorf("%s, trace %q: answered %s, want %s", c.runtime, trace, out.Payload, want)
			}
		}
	}
}
