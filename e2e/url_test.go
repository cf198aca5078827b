package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

const echoURL = `exports.handler = async (e) => ({ statusCode: 200, headers: { "x-path": e.rawPath }, body: e.rawQueryString + "|" + (e.headers.cookie ?? "") });`

// TestFunctionURLs: a URL answers only whom the resource policy lets, and never sees the console's cookie.
func TestFunctionURLs(t *testing.T) {
	s := startServer(t)
	createFunction(t, s, "site", "nodejs22.x", "index.handler", map[string]string{"index.js": echoURL})
	c := sdk(t, s)
	made, err := c.CreateFunctionUrlConfig(t.Context(), &lambda.CreateFunctionUrlConfigInput{FunctionName: ptr("site"), AuthType: types.FunctionUrlAuthTypeNone})
	if err != nil {
		t.Fatal(err)
	}
	if status, body := getURL(t, s, *made.FunctionUrl, "/"); status != http.StatusForbidden {
		t.Errorf("without a permission: %d %s", status, body)
	}
	_, err = c.AddPermission(t.Context(), &lambda.AddPermissionInput{FunctionName: ptr("site"), StatementId: ptr("public"), Principal: ptr("*"),
		Action: ptr("lambda:InvokeFunctionUrl"), FunctionUrlAuthType: types.FunctionUrlAuthTypeNone})
	if err != nil {
		t.Fatal(err)
	}
	if status, body := getURL(t, s, *made.FunctionUrl, "/a%2Fb?x=1&x=%20"); status != http.StatusOK || body != "x=1&x=%20|mine=1" {
		t.Errorf("with a permission: %d %q", status, body)
	}
	if _, err := c.UpdateFunctionUrlConfig(t.Context(), &lambda.UpdateFunctionUrlConfigInput{FunctionName: aws.String("site"), AuthType: types.FunctionUrlAuthTypeAwsIam}); err != nil {
		t.Fatal(err)
	}
	if status, body := getURL(t, s, *made.FunctionUrl, "/"); status != http.StatusForbidden {
		t.Errorf("unsigned with AWS_IAM: %d %s", status, body)
	}
}

// getURL asks the gateway for a function URL's host, with the console's cookie beside one of the function's own.
func getURL(t *testing.T, s *server, address, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.gateway+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")
	req.Header.Set("Cookie", "kiln_session=secret; mine=1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
