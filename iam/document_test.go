package iam

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"kiln/lambda"
)

func TestFaultsOfDocumentsAreNamedWithTheirPlace(t *testing.T) {
	for _, c := range []struct {
		text string
		use  Use
		want string // key@line:column of each problem
	}{
		{`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, Identity, ""},
		{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, Identity, ""},
		{`{`, Identity, "policy.syntax@1:2"},
		{"{\"Version\":\"2012-10-17\",\n  \"Statement\": [ { \"Effect\": \"Permit\", \"Action\": \"*\", \"Resource\": \"*\" } ]}", Identity, "policy.effect@2:30"},
		{`{"Statement":[]}`, Identity, "policy.empty@1:14"},
		{`{}`, Identity, "policy.missing@1:1"},
		{`[]`, Identity, "policy.object@1:1"},
		{`{"Statement":[{"Effect":"Allow","Action":"*"}]}`, Identity, "policy.missing@1:15"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}]}`, Identity, "policy.both@1:15"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}]}`, Identity, "policy.notHere@1:15"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, Resource, "policy.missing@1:15"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","NotPrincipal":{"AWS":"*"}}]}`, Resource, "policy.allowNotPrincipal@1:15"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":{"Service":"x"}}]}`, Trust, "policy.notHere@1:15"},
		{`{"Statement":[{"Effect":"Allow","Action":"Invoke","Resource":"*"}]}`, Identity, "policy.action@1:42"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"orders"}]}`, Identity, "policy.resource@1:57"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"arn:${aws"}]}`, Identity, "policy.variable@1:57"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Efect":1}]}`, Identity, "policy.unknown@1:61"},
		{`{"Statement":[{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}]}`, Identity, "policy.twice@1:33"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringMatches":{"a":"b"}}}]}`, Identity, "policy.operator@1:74"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericEquals":{"a":"b"}}}]}`, Identity, "policy.value@1:95"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"a":"300.1.1.1"}}}]}`, Identity, "policy.value@1:91"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"kim"}]}`, Resource, "policy.principal@1:73"},
		{`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":{"Nobody":"kim"}}]}`, Resource, "policy.principalType@1:74"},
		{`{"Version":"2020","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, Identity, "policy.version@1:12"},
		{`{"Statement":[{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"}]}`, Identity, "policy.sidTwice@1:72"},
		{`{"Statement":[{"Effect":"Allow","Action":[1],"Resource":"*"}]}`, Identity, "policy.string@1:43"},
		{strings.Repeat("[", 5000), Identity, "policy.depth@1:14"},
		{`{"Statement":"` + strings.Repeat("x", MaxDocument) + `"}`, Identity, "policy.size@:"},
	} {
		_, err := Parse([]byte(c.text), c.use)
		var got []string
		if e, ok := errors.AsType[*lambda.Error](err); ok {
			for _, p := range e.Problems {
				got = append(got, p.Key+"@"+p.Params["line"]+":"+p.Params["column"])
			}
		}
		if g := strings.Join(got, ", "); g != c.want {
			t.Errorf("%.80s: got %q, want %q", c.text, g, c.want)
		}
	}
}

func TestMarshalledDocumentsAreTheSameDocuments(t *testing.T) {
	const text = `{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"s1","Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:000000000000:function:orders","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:events:us-east-1:000000000000:rule/x"}}}]}`
	d, err := Parse([]byte(text), Resource)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(d)
	if err != nil || string(got) != text {
		t.Errorf("%s\n%v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["a:*"],"NotResource":"arn:aws:s3:::${aws:username}/*","Condition":{"ForAnyValue:StringLikeIfExists":{"k":["a*"]}}}]}`, "a:b", "arn:aws:s3:::x")
	f.Add(`{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`, "x:y", "*")
	f.Fuzz(func(t *testing.T, text, action, resource string) {
		for _, use := range []Use{Identity, Resource, Trust} {
			d, err := Parse([]byte(text), use)
			if err != nil {
				if lambda.KindOf(err) != lambda.Invalid {
					t.Fatalf("not an Invalid error: %v", err)
				}
				continue
			}
			again, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Parse(again, use)
			if err != nil && len(again) <= MaxDocument {
				t.Fatalf("%s does not come back: %v", again, err)
			}
			if err != nil {
				continue
			}
			r := Request{Principal: kim, Action: action, Resource: resource, Context: Context{"aws:username": {"kim"}}}
			p, q := Policies{}, Policies{}
			if use == Identity {
				p.Identity, q.Identity = []Named{{"d", d}}, []Named{{"d", back}}
			} else {
				p.Resource, q.Resource = &Named{"d", d}, &Named{"d", back}
			}
			if Decide(r, p).Allowed != Decide(r, q).Allowed {
				t.Fatalf("the decision changes with the spelling: %s", again)
			}
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 12 {
			return
		}
		if got, want := glob(pattern, s), slowGlob(pattern, s); got != want {
			t.Fatalf("%q on %q: %v, want %v", pattern, s, got, want)
		}
	})
}

func slowGlob(p, s string) bool {
	switch {
	case p == "":
		return s == ""
	case p[0] == '*':
		return slowGlob(p[1:], s) || s != "" && slowGlob(p, s[1:])
	case s == "":
		return false
	}
	return (p[0] == '?' || p[0] == s[0]) && slowGlob(p[1:], s[1:])
}
