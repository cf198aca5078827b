package lambda

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const testRole = "arn:aws:iam::000000000000:role/kiln-default"

func goodFunction() NewFunction {
	return NewFunction{
		Name:   "orders-api",
		Config: Config{Runtime: "nodejs22.x", Handler: "index.handler", Role: testRole}.WithDefaults(),
		Code:   Code{SHA256: strings.Repeat("a", 64), Size: 10},
	}
}

// broken lists "field key" of every problem of err.
func broken(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Invalid {
		t.Fatalf("not an Invalid error: %v", err)
	}
	var out []string
	for _, p := range e.Problems {
		out = append(out, p.Field+" "+p.Key)
	}
	return out
}

func TestNewFunctionRules(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(*NewFunction)
		want   string
	}{
		{"as it should be", func(*NewFunction) {}, ""},
		{"no name", func(n *NewFunction) { n.Name = "" }, "name functionName"},
		{"a name with a blank", func(n *NewFunction) { n.Name = "a b" }, "name functionName"},
		{"a name of 64", func(n *NewFunction) { n.Name = strings.Repeat("x", 64) }, ""},
		{"a name of 65", func(n *NewFunction) { n.Name = strings.Repeat("x", 65) }, "name functionName"},
		{"a path as a name", func(n *NewFunction) { n.Name = "../etc" }, "name functionName"},
		{"unknown runtime", func(n *NewFunction) { n.Runtime = "cobol85" }, "runtime enum"},
		{"no handler", func(n *NewFunction) { n.Handler = "" }, "handler required"},
		{"no handler with a provided runtime", func(n *NewFunction) { n.Runtime, n.Handler = "provided.al2023", "" }, ""},
		{"a handler with a blank", func(n *NewFunction) { n.Handler = "index handler" }, "handler blanks"},
		{"a long handler", func(n *NewFunction) { n.Handler = strings.Repeat("h", 129) }, "handler length"},
		{"no role", func(n *NewFunction) { n.Role = "" }, "role roleARN"},
		{"memory below", func(n *NewFunction) { n.MemoryMB = 127 }, "memory range"},
		{"memory at the top", func(n *NewFunction) { n.MemoryMB = 10240 }, ""},
		{"memory above", func(n *NewFunction) { n.MemoryMB = 10241 }, "memory range"},
		{"timeout above", func(n *NewFunction) { n.TimeoutSec = 901 }, "timeout range"},
		{"ephemeral below", func(n *NewFunction) { n.EphemeralMB = 511 }, "ephemeralStorage range"},
		{"a long description", func(n *NewFunction) { n.Description = strings.Repeat("ü", 257) }, "description length"},
		{"a reserved variable", func(n *NewFunction) { n.Env = Environment{"AWS_REGION": "x"} }, "environment envReserved"},
		{"a bad variable name", func(n *NewFunction) { n.Env = Environment{"1A": "x"} }, "environment envName"},
		{"a zero byte in a value", func(n *NewFunction) { n.Env = Environment{"AB": "x\x00"} }, "environment envValue"},
		{"a large environment", func(n *NewFunction) { n.Env = Environment{"AB": strings.Repeat("x", 4096)} }, "environment envSize"},
		{"six layers", func(n *NewFunction) {
			for i := range 6 {
				n.Layers = append(n.Layers, fmt.Sprintf("arn:aws:lambda:us-east-1:000000000000:layer:l:%d", i+1))
			}
		}, "layers count"},
		{"a wrong layer", func(n *NewFunction) { n.Layers = []string{"l:1"} }, "layers arn"},
		{"a tag of AWS", func(n *NewFunction) { n.Tags = map[string]string{"aws:x": "1"} }, "tags tagReserved"},
		{"levels without JSON", func(n *NewFunction) { n.AppLogLevel = "DEBUG" }, "logFormat levelsNeedJSON"},
		{"no code", func(n *NewFunction) { n.Code = Code{} }, "code required"},
		{"two rules at once", func(n *NewFunction) { n.MemoryMB, n.TimeoutSec = 1, -1 }, "memory range, timeout range"},
	} {
		n := goodFunction()
		c.change(&n)
		if got := strings.Join(broken(t, n.Validate()), ", "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
}

func TestReservationsLeaveTheUnreservedFloor(t *testing.T) {
	for _, c := range []struct{ want, account, elsewhere, problems int }{
		{900, 1000, 0, 0}, {901, 1000, 0, 1}, {0, 1000, 900, 0}, {1, 1000, 900, 1}, {-1, 1000, 0, 1},
	} {
		n := &c.want
		u := FunctionUpdate{Reserved: &n}
		f := Function{Name: "f", Config: goodFunction().Config}
		if got := len(broken(t, u.Validate(&f, c.account, c.elsewhere))); got != c.problems {
			t.Errorf("%+v: %d problems", c, got)
		}
	}
}

func TestErrorsNeverCarryEnvironmentValues(t *testing.T) {
	n := goodFunction()
	n.Env = Environment{"SECRET_TOKEN": "hunter2\x00", "AWS_REGION": "hunter2", "x": "hunter2"}
	text := fmt.Sprint(n.Validate(), n.Env) + fmt.Sprintf("%v %+v %s", n.Config, n, n.Env)
	if strings.Contains(text, "hunter2") {
		t.Errorf("a value leaked: %s", text)
	}
}

func TestUpdateAppliesOnlyWhatIsSet(t *testing.T) {
	before := goodFunction().Config
	before.Description = "keep"
	mem, format := 256, "JSON"
	u := FunctionUpdate{MemoryMB: &mem, LogFormat: &format}
	after := u.Apply(before)
	if after.MemoryMB != 256 || after.Description != "keep" || after.AppLogLevel != "INFO" {
		t.Errorf("after: %+v", after)
	}
	text := "Text"
	if back := (&FunctionUpdate{LogFormat: &text}).Apply(after); back.Validate() != nil || back.AppLogLevel != "" {
		t.Errorf("back to text keeps levels: %+v", back)
	}
	if !u.ChangesRevision() || (&FunctionUpdate{Tags: &map[string]string{}, RevisionID: "x"}).ChangesRevision() {
		t.Error("tags alone make no revision, memory does")
	}
}

func TestAliasRules(t *testing.T) {
	for _, c := range []struct {
		a    Alias
		want string
	}{
		{Alias{Name: "prod", Version: "3"}, ""},
		{Alias{Name: "prod", Version: "3", Weights: map[string]float64{"4": 0.1}}, ""},
		{Alias{Name: "12", Version: "3"}, "name aliasName"},
		{Alias{Name: "prod", Version: "three"}, "version versionName"},
		{Alias{Name: "prod", Version: "3", Weights: map[string]float64{"3": 0.1}}, "weights sameVersion"},
		{Alias{Name: "prod", Version: Latest, Weights: map[string]float64{"3": 0.1}}, "weights latest"},
		{Alias{Name: "prod", Version: "3", Weights: map[string]float64{"4": 1.1}}, "weights range"},
		{Alias{Name: "prod", Version: "3", Weights: map[string]float64{"4": 0.1, "5": 0.1}}, "weights count"},
	} {
		if got := strings.Join(broken(t, c.a.Validate()), ", "); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.a, got, c.want)
		}
	}
}

func TestTestEventRules(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"order created", `{"a":1}`, ""}, {"주문", `[]`, ""}, {"", `{}`, "name eventName"}, {"../x", `{}`, "name eventName"},
		{"a", `{"a":}`, "body json"}, {strings.Repeat("n", 65), `{}`, "name eventName"},
	} {
		e := TestEvent{Name: c.name, Body: []byte(c.body)}
		if got := strings.Join(broken(t, e.Validate()), ", "); got != c.want {
			t.Errorf("%q %q: got %q, want %q", c.name, c.body, got, c.want)
		}
	}
}
