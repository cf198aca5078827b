package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"kiln/iam"
	"kiln/lambda"
)

const (
	testID     = "AKIAIOSFODNN7EXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var testNow = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

type fakeKeys struct {
	key   iam.AccessKey
	err   error
	asked int
}

func (f *fakeKeys) AccessKey(ctx context.Context, id string) (*iam.AccessKey, error) {
	f.asked++
	if f.err != nil {
		return nil, f.err
	}
	if id != f.key.ID {
		return nil, lambda.E(lambda.Unauthenticated, "key.missing")
	}
	return &f.key, nil
}

func newTest() (*Verifier, *fakeKeys) {
	k := &fakeKeys{key: iam.AccessKey{ID: testID, Secret: testSecret, Principal: iam.Principal{Kind: iam.KindRoot, Name: "root"}}}
	return New(Options{Keys: k, Now: func() time.Time { return testNow }}), k
}

// signed makes a request as AWS's own Go signer does and brings it into the form in which a server gets it.
func signed(t testing.TB, method, target, body string, change func(*http.Request, *aws.Credentials, *time.Time)) *http.Request {
	t.Helper()
	return signedFor(t, "lambda", method, target, body, change)
}

func signedFor(t testing.TB, service, method, target, body string, change func(*http.Request, *aws.Credentials, *time.Time)) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://127.0.0.1:8080"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	cred, at := aws.Credentials{AccessKeyID: testID, SecretAccessKey: testSecret}, testNow
	if change != nil {
		change(r, &cred, &at)
	}
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	if h := r.Header.Get("X-Amz-Content-Sha256"); h != "" {
		hash = h
	}
	if err := v4.NewSigner().SignHTTP(t.Context(), cred, r, hash, service, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	return received(t, r)
}

// received writes the request to the wire and reads it back.
func received(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got := httptest.NewRequest(r.Method, r.URL.RequestURI(), r.Body)
	got.Host, got.Header, got.ContentLength = r.Host, r.Header, r.ContentLength
	return got
}

func TestSignaturesOfAWSOwnSignerAreTaken(t *testing.T) {
	for _, c := range []struct{ method, target, body string }{
		{"GET", "/", ""},
		{"POST", "/2015-03-31/functions/orders/invocations", `{"a":1}`},
		{"GET", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aorders", ""},
		{"GET", "/2015-03-31/functions/orders?Qualifier=%24LATEST", ""},
		{"GET", "/x?b=2&a=1&a=0&c", ""},
		{"GET", "/x?a=1&a-b=2&a%20b=3", ""},
		{"GET", "/%ED%95%9C%EA%B8%80?q=%ED%95%9C+%2B", ""},
		{"PUT", "/a//b/./c", "x"},
		{"GET", "/a%2Fb/~user/(x)!*'", ""},
	} {
		v, _ := newTest()
		id, err := v.Verify(signed(t, c.method, c.target, c.body, nil), []byte(c.body))
		if err != nil || id.Principal.Kind != iam.KindRoot || id.Service != "lambda" || id.Region != "us-east-1" || id.KeyID != testID {
			t.Errorf("%s %s: %+v, %v", c.method, c.target, id, err)
		}
	}
}

func TestWhatIsRefusedAndInWhichWords(t *testing.T) {
	for _, c := range []struct {
		what   string
		before func(*http.Request, *aws.Credentials, *time.Time)
		after  func(*http.Request)
		keys   func(*fakeKeys)
		body   string
		want   string
	}{
		{"a changed body", nil, nil, nil, "other", "InvalidSignatureException: The request signature we calculated"},
		{"a changed body with its hash in the header", func(r *http.Request, _ *aws.Credentials, _ *time.Time) {
			r.Header.Set("X-Amz-Content-Sha256", emptyHash)
		}, nil, nil, "other", "XAmzContentSHA256Mismatch"},
		{"a changed path", nil, func(r *http.Request) { r.RequestURI = "/y" }, nil, "", "InvalidSignatureException: The request signature we calculated"},
		{"a changed query", nil, func(r *http.Request) { r.RequestURI = "/x?Qualifier=2" }, nil, "", "InvalidSignatureException: The request signature"},
		{"a changed method", nil, func(r *http.Request) { r.Method = "DELETE" }, nil, "", "InvalidSignatureException: The request signature"},
		{"another host", nil, func(r *http.Request) { r.Host = "evil.test" }, nil, "", "InvalidSignatureException: The request signature"},
		{"an added header of AWS", nil, func(r *http.Request) { r.Header.Set("X-Amz-Invocation-Type", "Event") }, nil, "", "InvalidSignatureException: There were headers present in the request which were not signed: x-amz-invocation-type"},
		{"the wrong secret", func(_ *http.Request, c *aws.Credentials, _ *time.Time) { c.SecretAccessKey = "x" }, nil, nil, "", "InvalidSignatureException: The request signature"},
		{"an unknown key", func(_ *http.Request, c *aws.Credentials, _ *time.Time) { c.AccessKeyID = "AKIAXXXXXXXXXXXXXXXX" }, nil, nil, "", "UnrecognizedClientException: The security token included in the request is invalid."},
		{"a key that is no key", func(_ *http.Request, c *aws.Credentials, _ *time.Time) { c.AccessKeyID = "short" }, nil, nil, "", "UnrecognizedClientException"},
		{"a session token that does not belong to it", func(_ *http.Request, c *aws.Credentials, _ *time.Time) { c.SessionToken = "stolen" }, nil, nil, "", "UnrecognizedClientException"},
		{"a temporary key without its token", nil, nil, func(k *fakeKeys) { k.key.Token = "token" }, "", "UnrecognizedClientException"},
		{"a temporary key after its end", nil, nil, func(k *fakeKeys) { k.key.ExpiresAt = testNow }, "", "ExpiredTokenException: The security token included in the request is expired"},
		{"an old signature", func(_ *http.Request, _ *aws.Credentials, at *time.Time) { *at = testNow.Add(-6 * time.Minute) }, nil, nil, "",
			"InvalidSignatureException: Signature expired: 20261128T115400Z is now earlier than 20261128T115500Z (20261128T120000Z - 5 min.)"},
		{"a signature of the future", func(_ *http.Request, _ *aws.Credentials, at *time.Time) { *at = testNow.Add(6 * time.Minute) }, nil, nil, "",
			"InvalidSignatureException: Signature not yet current: 20261128T120600Z is still later than 20261128T120500Z (20261128T120000Z + 5 min.)"},
		{"no signature", nil, func(r *http.Request) { r.Header.Del("Authorization") }, nil, "", "MissingAuthenticationTokenException: Missing Authentication Token"},
		{"another scheme", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer abc") }, nil, "", "IncompleteSignatureException: Unsupported AWS 'algorithm': 'Bearer'."},
		{"half a header", nil, func(r *http.Request) {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+testID+"/20261128/us-east-1/lambda/aws4_request")
		}, nil, "", "IncompleteSignatureException: Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."},
		{"no date", nil, func(r *http.Request) { r.Header.Del("X-Amz-Date") }, nil, "", "IncompleteSignatureException: Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
		{"a short scope", nil, func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/us-east-1", "", 1))
		}, nil, "", "IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements"},
		{"a date that is not the scope's", nil, func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261127T120000Z") }, nil, "", "InvalidSignatureException: Date in Credential scope does not match"},
		{"the host left out", nil, func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "host;", "", 1))
		}, nil, "", "InvalidSignatureException: 'Host' or ':authority' must be a 'SignedHeader'"},
		{"the key store away", nil, nil, func(k *fakeKeys) { k.err = errors.New("no database") }, "", "no database"},
	} {
		v, k := newTest()
		r := signed(t, "POST", "/x", "", c.before)
		if c.after != nil {
			c.after(r)
		}
		if c.keys != nil {
			c.keys(k)
		}
		if _, err := v.Verify(r, []byte(c.body)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestUnsignedPayloadsAndTokensAreTaken(t *testing.T) {
	v, k := newTest()
	r := signedFor(t, "s3", "POST", "/x", "one", func(r *http.Request, _ *aws.Credentials, _ *time.Time) {
		r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
	})
	if _, err := v.Verify(r, []byte("two")); err != nil {
		t.Error(err)
	}
	v.Forget()
	k.key.Token, k.key.ExpiresAt = "token", testNow.Add(time.Second)
	r = signed(t, "POST", "/x", "", func(_ *http.Request, c *aws.Credentials, _ *time.Time) { c.SessionToken = "token" })
	if _, err := v.Verify(r, nil); err != nil {
		t.Error(err)
	}
}

func TestOnlyS3LeavesPayloadsOutOfTheSignature(t *testing.T) {
	for _, hash := range []string{unsignedPayload, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"} {
		v, _ := newTest()
		r := signed(t, "POST", "/x", "one", func(r *http.Request, _ *aws.Credentials, _ *time.Time) { r.Header.Set("X-Amz-Content-Sha256", hash) })
		if _, err := v.Verify(r, []byte("two")); err == nil || !strings.HasPrefix(err.Error(), "InvalidSignatureException") {
			t.Errorf("%s: %v", hash, err)
		}
	}
}

func presigned(t testing.TB, target string, at time.Time) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", "http://127.0.0.1:8081"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := r.URL.Query()
	q.Set("X-Amz-Expires", "600")
	r.URL.RawQuery = q.Encode()
	u, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: testID, SecretAccessKey: testSecret}, r, emptyHash, "lambda", "us-east-1", at)
	if err != nil {
		t.Fatal(err)
	}
	got := httptest.NewRequest("GET", u, nil)
	got.RequestURI = got.URL.RequestURI()
	return got
}

func TestPresignedRequests(t *testing.T) {
	v, _ := newTest()
	if id, err := v.Verify(presigned(t, "/a%20b?x=1", testNow.Add(-9*time.Minute)), nil); err != nil || !id.Presigned {
		t.Errorf("%+v, %v", id, err)
	}
	if _, err := v.Verify(presigned(t, "/a", testNow.Add(-11*time.Minute)), nil); err == nil || !strings.Contains(err.Error(), "Signature expired") {
		t.Errorf("old: %v", err)
	}
	r := presigned(t, "/a", testNow)
	r.RequestURI = strings.Replace(r.RequestURI, "X-Amz-Expires=600", "X-Amz-Expires=604800", 1)
	r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "X-Amz-Expires=600", "X-Amz-Expires=604800", 1)
	if _, err := v.Verify(r, nil); err == nil {
		t.Error("a prolonged link is taken")
	}
	r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "X-Amz-Date", "X-Amz-Dato", 1)
	if _, err := v.Verify(r, nil); err == nil {
		t.Error("a link without a date is taken")
	}
}

// TestChunkedPayloads uses the example of AWS's documentation.
func TestChunkedPayloads(t *testing.T) {
	const auth = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class, " +
		"Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
	_, k := newTest()
	v := New(Options{Keys: k, Now: func() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) }})
	body := "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	check := func(body string) (int, error) {
		r := httptest.NewRequest("PUT", "/examplebucket/chunkObject.txt", strings.NewReader(body))
		r.Host, r.ContentLength = "s3.amazonaws.com", 66824
		for name, value := range map[string]string{"Authorization": auth, "Content-Encoding": "aws-chunked", "X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
			"X-Amz-Date": "20130524T000000Z", "X-Amz-Decoded-Content-Length": "66560", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY"} {
			r.Header.Set(name, value)
		}
		c, err := v.Begin(r)
		if err != nil {
			return 0, err
		}
		if !c.Chunked() {
			t.Error("not seen as chunked")
		}
		got, err := io.ReadAll(c.Reader(r.Body))
		return len(got), err
	}
	if n, err := check(body); n != 66560 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := check(strings.Replace(body, "aaa\r\n400", "aab\r\n400", 1)); err == nil {
		t.Error("a changed chunk is taken")
	}
	if _, err := check(body[:66000]); err == nil {
		t.Error("a payload that was cut off is taken")
	}
}

func TestUnsignedTrailers(t *testing.T) {
	v, _ := newTest()
	r := signedFor(t, "s3", "PUT", "/b/k", "", func(r *http.Request, _ *aws.Credentials, _ *time.Time) {
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	})
	c, err := v.Begin(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c.Reader(strings.NewReader("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n")))
	if string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTemporaryKeysEndWithTheirWorker(t *testing.T) {
	_, lasting := newTest()
	temp := NewTemporary(lasting)
	role := iam.Principal{Kind: iam.KindRole, ARN: "arn:aws:sts::000000000000:assumed-role/app/w1"}
	first := temp.Issue("w1", role, testNow.Add(time.Hour))
	second := temp.Issue("w1", role, testNow.Add(time.Hour))
	if _, err := temp.AccessKey(t.Context(), first.ID); err == nil {
		t.Error("the first key outlives the second")
	}
	if k, err := temp.AccessKey(t.Context(), second.ID); err != nil || k.Token == "" || temp.Owner(second.ID) != "w1" {
		t.Errorf("%+v, %v", k, err)
	}
	if k, err := temp.AccessKey(t.Context(), testID); err != nil || k.ID != testID || temp.Owner(testID) != "" {
		t.Errorf("lasting: %v", err)
	}
	v := New(Options{Keys: temp, Now: func() time.Time { return testNow }})
	sign := func() *http.Request {
		return signed(t, "POST", "/x", "", func(_ *http.Request, c *aws.Credentials, _ *time.Time) {
			*c = aws.Credentials{AccessKeyID: second.ID, SecretAccessKey: second.Secret, SessionToken: second.Token}
		})
	}
	if id, err := v.Verify(sign(), nil); err != nil || id.Principal.ARN != role.ARN {
		t.Errorf("%+v, %v", id, err)
	}
	temp.Revoke("w1")
	if _, err := v.Verify(sign(), nil); err == nil {
		t.Error("a revoked key still signs")
	}
	third := temp.Issue("", role, testNow)
	temp.Expire(testNow.Add(2 * time.Hour))
	if _, err := temp.AccessKey(t.Context(), third.ID); err == nil {
		t.Error("an old key stays")
	}
}

func TestKeysAreAskedForOnceAWhile(t *testing.T) {
	v, k := newTest()
	for range 5 {
		if _, err := v.Verify(signed(t, "POST", "/x", "", nil), nil); err != nil {
			t.Fatal(err)
		}
	}
	if k.asked != 1 {
		t.Errorf("asked %d times", k.asked)
	}
	v.Forget()
	k.err = lambda.E(lambda.Unauthenticated, "key.missing")
	if _, err := v.Verify(signed(t, "POST", "/x", "", nil), nil); err == nil {
		t.Error("a forgotten key signs")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261128/us-east-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "/a?b=%zz", "20261128T120000Z")
	f.Add("AWS4-HMAC-SHA256 ", "?X-Amz-Signature=1", "")
	v, _ := newTest()
	f.Fuzz(func(t *testing.T, auth, target, date string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RequestURI, r.Header = target, http.Header{"Authorization": {auth}, "X-Amz-Date": {date}}
		_, r.URL.RawQuery, _ = strings.Cut(target, "?")
		if id, err := v.Verify(r, nil); err == nil {
			t.Fatalf("a made-up signature is taken: %+v", id)
		}
	})
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c := &Check{claim: &claim{hash: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}}
		got, _ := io.ReadAll(c.Reader(bytes.NewReader(body)))
		if len(got) > len(body) {
			t.Fatal("more came out than went in")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v, _ := newTest()
	body := []byte(`{"name":"world"}`)
	r := signed(b, "POST", "/2015-03-31/functions/orders/invocations", string(body), nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r, body); err != nil {
			b.Fatal(err)
		}
	}
}
