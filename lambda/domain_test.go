package lambda

import (
	"math"
	"testing"
)

func TestFunctionReferences(t *testing.T) {
	for _, c := range []struct {
		in   string
		want FunctionRef
		ok   bool
	}{
		{"orders", FunctionRef{Name: "orders"}, true},
		{"orders:prod", FunctionRef{Name: "orders", Qualifier: "prod"}, true},
		{"orders:$LATEST", FunctionRef{Name: "orders", Qualifier: "$LATEST"}, true},
		{"123456789012:function:orders", FunctionRef{Name: "orders", AccountID: "123456789012"}, true},
		{"function:orders:7", FunctionRef{Name: "orders", Qualifier: "7"}, true},
		{"arn:aws:lambda:us-east-1:123456789012:function:orders:7", FunctionRef{Name: "orders", Qualifier: "7", Region: "us-east-1", AccountID: "123456789012"}, true},
		{"arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:orders", FunctionRef{Name: "orders", Region: "us-gov-west-1", AccountID: "123456789012"}, true},
		{"", FunctionRef{}, false}, {"a/b", FunctionRef{}, false}, {"a:b:c", FunctionRef{}, false}, {"a:$latest", FunctionRef{}, false},
		{"arn:aws:s3:::bucket", FunctionRef{}, false}, {"arn:aws:lambda:us-east-1:1:function:f", FunctionRef{}, false}, {"f\n", FunctionRef{}, false},
	} {
		got, err := ParseFunctionRef(c.in)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%q: %+v, %v", c.in, got, err)
		}
	}
}

func FuzzParseFunctionRef(f *testing.F) {
	f.Add("arn:aws:lambda:us-east-1:123456789012:function:orders:7")
	f.Add("orders:prod")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseFunctionRef(s)
		if err != nil {
			return
		}
		if !namePattern.MatchString(r.Name) {
			t.Errorf("%q gave the name %q", s, r.Name)
		}
		if r.Region != "" {
			if got := (ARNs{r.Region, r.AccountID}).Function(r.Name, r.Qualifier); got != s && s[:8] == "arn:aws:" {
				t.Errorf("%q came back as %q", s, got)
			}
		}
	})
}

func TestBucketsAgreeWithLogarithm(t *testing.T) {
	for us := int64(1); us < 2_000_000; us += 1 + us/997 {
		want := int(math.Floor(8*math.Log2(float64(us)) + 1e-9))
		got := BucketOf(us)
		if us < 8 { // small values have few buckets of their own
			if got > want+1 || got < want-1 {
				t.Fatalf("%d µs: bucket %d, want about %d", us, got, want)
			}
			continue
		}
		if got != want {
			t.Fatalf("%d µs: bucket %d, want %d", us, got, want)
		}
	}
	if BucketOf(0) != 0 || BucketOf(-5) != 0 || BucketOf(math.MaxInt64) != HistogramBuckets-1 {
		t.Error("the ends are not held")
	}
}

func TestStatusesThatCountAsErrors(t *testing.T) {
	for s, failed := range map[Status]bool{StatusOK: false, StatusRunning: false, StatusThrottled: false, StatusError: true, StatusTimeout: true, StatusMemory: true, StatusExit: true} {
		if s.Failed() != failed {
			t.Errorf("%s: Failed() = %v", s, s.Failed())
		}
	}
}

func TestLogGroupsNameFunctions(t *testing.T) {
	for in, want := range map[string]string{"/aws/lambda/orders": "orders", "/aws/lambda/": "", "/aws/rds/x": "", "/aws/lambda/../x": ""} {
		if got := FunctionOfLogGroup(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
