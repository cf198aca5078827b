package lambdaapi

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"kiln/lambda"
)

func testCall(method, target string) *call {
	c := &call{api: &API{Options: Options{ARNs: lambda.ARNs{Region: "us-east-1", AccountID: "000000000000"}}}, op: invokeOperation, query: url.Values{}}
	c.r = httptest.NewRequest(method, "/", nil)
	c.r.URL.Path, c.r.URL.RawPath = target, ""
	return c
}

func FuzzRoute(f *testing.F) {
	f.Add("POST", "/2015-03-31/functions/f/invocations")
	f.Add("GET", "/2018-10-31/layers/a%2Fb/versions/1/policy")
	f.Add("DELETE", "//2015-03-31//functions/../x")
	f.Fuzz(func(t *testing.T, method, target string) {
		c := testCall("GET", target)
		c.r.Method = method
		if err := c.route(); err != nil {
			return
		}
		if c.op == nil || c.op.method != method {
			t.Fatalf("%s %q was taken for %+v", method, target, c.op)
		}
	})
}

func FuzzFunctionReference(f *testing.F) {
	f.Add("arn:aws:lambda:us-east-1:000000000000:function:f:prod", "prod")
	f.Add("f", "$LATEST")
	f.Fuzz(func(t *testing.T, ref, qualifier string) {
		c := testCall("GET", "/")
		if qualifier != "" {
			c.query.Set("Qualifier", qualifier)
		}
		if err := c.readFunction(ref); err != nil {
			if _, ok := err.(*failure); !ok {
				t.Fatalf("not an answer: %v", err)
			}
			return
		}
		if !isPlainName(c.function) {
			t.Fatalf("%q names the function %q", ref, c.function)
		}
		if c.qualifier != "" && !qualifierForm.MatchString(c.qualifier) {
			t.Fatalf("%q has the qualifier %q", ref, c.qualifier)
		}
	})
}

func FuzzCreateInput(f *testing.F) {
	f.Add([]byte(`{"FunctionName":"f","Role":"r","Code":{"ZipFile":"UEs="},"Layers":["x"],"Environment":{"Variables":{"A":"b"}},"VpcConfig":{"SubnetIds":["s"]},"MemorySize":1e3}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c := testCall("POST", "/2015-03-31/functions")
		c.body = body
		in := &createInput{}
		if c.decode(in) != nil || checkCreate(in) != nil {
			return
		}
		u := in.update()
		n := lambda.NewFunction{Name: "f", Config: u.Apply(lambda.Config{})}
		_ = n.Validate() // must not panic
	})
}

func FuzzMarkersAndPatterns(f *testing.F) {
	f.Add(`{ $.a.b = "x*" && $.n > 3 || $.c != 1 }`, `{"a":{"b":"xy"},"n":4}`)
	f.Add(`?error -debug "two words"`, "an error")
	f.Fuzz(func(t *testing.T, pattern, line string) {
		if key, ok := decodeMarker(pattern); ok && encodeMarker(key) == "" {
			t.Fatal("a marker without a key")
		}
		if match, err := parsePattern(pattern); err == nil {
			match(line)
		}
		(&logInput{NextToken: pattern}).group()
	})
}

func FuzzNotJSON(f *testing.F) {
	f.Add([]byte("\x99\x87"))
	f.Add([]byte("{\"a\":\n\"b\xff\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if json.Valid(body) {
			return
		}
		c := testCall("POST", "/")
		c.body = body
		if got := notJSON(c, nil); got.status != 400 || !json.Valid(got.body()) {
			t.Fatalf("%+v", got)
		}
	})
}

func FuzzEventStream(f *testing.F) {
	f.Add("PayloadChunk", []byte("x"))
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		if len(kind) > 1000 {
			return
		}
		b := appendMessage(nil, eventHeaders(kind, "application/json"), payload)
		m, err := eventstream.NewDecoder().Decode(bytes.NewReader(b), nil)
		if err != nil {
			t.Fatal(err)
		}
		if m.Headers.Get(":event-type").String() != kind || !bytes.Equal(m.Payload, payload) {
			t.Fatalf("%q came back as %v", kind, m.Headers)
		}
	})
}
