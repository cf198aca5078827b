package lambdaapi_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestTheLifeThatTerraformGivesAFunction replays the calls of aws_lambda_function, _alias, _permission, _layer_version and _function_url:
// create, read back without a difference, update, read back, destroy.
func TestTheLifeThatTerraformGivesAFunction(t *testing.T) {
	w := newWorld(t)
	c, ctx := w.client(), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	layer, err := c.PublishLayerVersion(ctx, &sdk.PublishLayerVersionInput{LayerName: aws.String("lib"), Description: aws.String("d"), LicenseInfo: aws.String("MIT"),
		CompatibleRuntimes: []types.Runtime{types.RuntimeNodejs22x}, CompatibleArchitectures: []types.Architecture{types.ArchitectureX8664}, Content: &types.LayerVersionContentInput{ZipFile: zipOf(t, "nodejs/a.js", "1")}})
	must(err)
	made, err := c.CreateFunction(ctx, &sdk.CreateFunctionInput{FunctionName: aws.String("orders"), Role: aws.String(role), Runtime: types.RuntimeNodejs22x, Handler: aws.String("index.handler"),
		Code: &types.FunctionCode{ZipFile: zipOf(t, "index.js", "1")}, Layers: []string{*layer.LayerVersionArn}, MemorySize: aws.Int32(256), Timeout: aws.Int32(7), Publish: true,
		Environment: &types.Environment{Variables: map[string]string{"STAGE": "<test> & more"}}, Tags: map[string]string{"team": "a"}, Description: aws.String("first")})
	must(err)
	if made.State != types.StatePending || *made.Version != "1" || *made.FunctionArn != arn+"orders:1" || made.StateReasonCode != types.StateReasonCodeCreating {
		t.Errorf("created: %+v", made)
	}
	must(sdk.NewFunctionActiveV2Waiter(c).Wait(ctx, &sdk.GetFunctionInput{FunctionName: aws.String("orders")}, 10*time.Second))
	got, err := c.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: aws.String("orders")})
	must(err)
	f := got.Configuration
	if *f.MemorySize != 256 || *f.Timeout != 7 || f.Environment.Variables["STAGE"] != "<test> & more" || *f.Layers[0].Arn != *layer.LayerVersionArn || f.Layers[0].CodeSize != layer.Content.CodeSize ||
		got.Tags["team"] != "a" || *got.Code.RepositoryType != "S3" || f.LastUpdateStatus != types.LastUpdateStatusSuccessful || *f.CodeSha256 != *made.CodeSha256 || *f.FunctionArn != arn+"orders" {
		t.Errorf("read back: %+v", f)
	}
	upd, err := c.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("orders"), MemorySize: aws.Int32(512), RevisionId: f.RevisionId, Environment: &types.Environment{}})
	must(err)
	if *upd.MemorySize != 512 || upd.Environment != nil || upd.LastUpdateStatus != types.LastUpdateStatusInProgress || *upd.RevisionId == *f.RevisionId {
		t.Errorf("updated: %+v", upd)
	}
	must(sdk.NewFunctionUpdatedV2Waiter(c).Wait(ctx, &sdk.GetFunctionInput{FunctionName: aws.String("orders")}, 10*time.Second))
	codeUpd, err := c.UpdateFunctionCode(ctx, &sdk.UpdateFunctionCodeInput{FunctionName: aws.String(arn + "orders"), ZipFile: zipOf(t, "index.js", "2"), Publish: true})
	must(err)
	if *codeUpd.Version != "2" || *codeUpd.CodeSha256 == *made.CodeSha256 {
		t.Errorf("code: %+v", codeUpd)
	}
	alias, err := c.CreateAlias(ctx, &sdk.CreateAliasInput{FunctionName: aws.String("orders"), Name: aws.String("prod"), FunctionVersion: aws.String("1"), RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.25}}})
	must(err)
	back, err := c.GetAlias(ctx, &sdk.GetAliasInput{FunctionName: aws.String("orders"), Name: aws.String("prod")})
	must(err)
	if *back.AliasArn != arn+"orders:prod" || back.RoutingConfig.AdditionalVersionWeights["2"] != 0.25 || *back.RevisionId != *alias.RevisionId {
		t.Errorf("alias: %+v", back)
	}
	_, err = c.UpdateAlias(ctx, &sdk.UpdateAliasInput{FunctionName: aws.String("orders"), Name: aws.String("prod"), FunctionVersion: aws.String("2"), RoutingConfig: &types.AliasRoutingConfiguration{}})
	must(err)
	_, err = c.AddPermission(ctx, &sdk.AddPermissionInput{FunctionName: aws.String("orders"), Qualifier: aws.String("prod"), StatementId: aws.String("s1"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("events.amazonaws.com"), SourceArn: aws.String("arn:aws:events:us-east-1:000000000000:rule/x")})
	must(err)
	pol, err := c.GetPolicy(ctx, &sdk.GetPolicyInput{FunctionName: aws.String("orders"), Qualifier: aws.String("prod")})
	must(err)
	if !strings.Contains(*pol.Policy, `"Resource":"`+arn+`orders:prod"`) || !strings.Contains(*pol.Policy, `"ArnLike":{"AWS:SourceArn"`) || !json.Valid([]byte(*pol.Policy)) {
		t.Errorf("policy: %s", *pol.Policy)
	}
	u, err := c.CreateFunctionUrlConfig(ctx, &sdk.CreateFunctionUrlConfigInput{FunctionName: aws.String("orders"), Qualifier: aws.String("prod"), AuthType: types.FunctionUrlAuthTypeNone, Cors: &types.Cors{AllowOrigins: []string{"*"}, MaxAge: aws.Int32(60)}})
	must(err)
	readURL, err := c.GetFunctionUrlConfig(ctx, &sdk.GetFunctionUrlConfigInput{FunctionName: aws.String("orders"), Qualifier: aws.String("prod")})
	must(err)
	if *readURL.FunctionUrl != *u.FunctionUrl || readURL.InvokeMode != types.InvokeModeBuffered || *readURL.Cors.MaxAge != 60 || *readURL.FunctionArn != arn+"orders:prod" {
		t.Errorf("URL: %+v", readURL)
	}
	versions, err := c.ListVersionsByFunction(ctx, &sdk.ListVersionsByFunctionInput{FunctionName: aws.String("orders")})
	must(err)
	var names []string
	for _, v := range versions.Versions {
		names = append(names, *v.Version)
	}
	if !slices.Equal(names, []string{"$LATEST", "1", "2"}) {
		t.Errorf("versions: %v", names)
	}
	_, err = c.DeleteFunctionUrlConfig(ctx, &sdk.DeleteFunctionUrlConfigInput{FunctionName: aws.String("orders"), Qualifier: aws.String("prod")})
	must(err)
	_, err = c.RemovePermission(ctx, &sdk.RemovePermissionInput{FunctionName: aws.String("orders"), Qualifier: aws.String("prod"), StatementId: aws.String("s1")})
	must(err)
	_, err = c.DeleteAlias(ctx, &sdk.DeleteAliasInput{FunctionName: aws.String("orders"), Name: aws.String("prod")})
	must(err)
	_, err = c.DeleteFunction(ctx, &sdk.DeleteFunctionInput{FunctionName: aws.String("orders")})
	must(err)
	_, err = c.DeleteLayerVersion(ctx, &sdk.DeleteLayerVersionInput{LayerName: aws.String("lib"), VersionNumber: aws.Int64(1)})
	must(err)
	if _, err := c.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: aws.String("orders")}); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException: Function not found: "+arn+"orders") {
		t.Errorf("after the end: %v", err)
	}
}

func TestInvocationsThroughTheSDK(t *testing.T) {
	w := newWorld(t)
	w.create("echo", "")
	w.create("fail", "")
	c, ctx := w.client(), t.Context()
	out, err := c.Invoke(ctx, &sdk.InvokeInput{FunctionName: aws.String("echo"), Payload: []byte(`{"a":1}`), LogType: types.LogTypeTail, ClientContext: aws.String("eyJjdXN0b20iOnt9fQ==")})
	if err != nil || string(out.Payload) != `{"a":1}` || *out.ExecutedVersion != "$LATEST" || out.FunctionError != nil || out.LogResult == nil {
		t.Errorf("%+v, %v", out, err)
	}
	if got := w.engine.seen[len(w.engine.seen)-1]; got.ClientContext != `{"custom":{}}` || got.By != "root" {
		t.Errorf("the engine got %+v", got)
	}
	out, err = c.Invoke(ctx, &sdk.InvokeInput{FunctionName: aws.String("fail")})
	if err != nil || *out.FunctionError != "Unhandled" {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = c.Invoke(ctx, &sdk.InvokeInput{FunctionName: aws.String("echo"), InvocationType: types.InvocationTypeEvent, Payload: []byte(`{}`)})
	if err != nil || out.StatusCode != 202 {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = c.Invoke(ctx, &sdk.InvokeInput{FunctionName: aws.String("echo"), InvocationType: types.InvocationTypeDryRun})
	if err != nil || out.StatusCode != 204 {
		t.Errorf("%+v, %v", out, err)
	}
	if got := streamed(t, c, "echo", `[1,2,3]`); got != `[1,2,3]|` {
		t.Errorf("streamed: %s", got)
	}
	if got := streamed(t, c, "fail", `[1]`); got != `|Error` {
		t.Errorf("streamed failure: %s", got)
	}
}

// streamed is what a streamed answer came to, and its error.
func streamed(t *testing.T, c *sdk.Client, name, payload string) string {
	t.Helper()
	out, err := c.InvokeWithResponseStream(t.Context(), &sdk.InvokeWithResponseStreamInput{FunctionName: &name, Payload: []byte(payload), LogType: types.LogTypeTail})
	if err != nil {
		t.Fatal(err)
	}
	s := out.GetStream()
	defer s.Close()
	var b strings.Builder
	for e := range s.Events() {
		switch e := e.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			b.Write(e.Value.Payload)
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			b.WriteString("|")
			if e.Value.ErrorCode != nil {
				b.WriteString(*e.Value.ErrorCode)
			}
			if e.Value.LogResult == nil {
				t.Error("no log")
			}
		}
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
	return b.String()
}

func TestListsArePagedWithoutLossOrDoubles(t *testing.T) {
	w := newWorld(t)
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		w.create(n, "")
	}
	var got []string
	p := sdk.NewListFunctionsPaginator(w.client(), &sdk.ListFunctionsInput{MaxItems: aws.Int32(2)})
	for p.HasMorePages() {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range out.Functions {
			got = append(got, *f.FunctionName)
			if f.State != "" || f.RuntimeVersionConfig != nil {
				t.Errorf("a list shows the state of %s", *f.FunctionName)
			}
		}
	}
	if strings.Join(got, "") != "abcde" {
		t.Errorf("%v", got)
	}
	for range 3 {
		w.good(201, "POST", "/2018-10-31/layers/l/versions", `{"Content":{"ZipFile":"`+base64Of(zipOf(t, "a", "1"))+`"}}`)
	}
	layers := sdk.NewListLayerVersionsPaginator(w.client(), &sdk.ListLayerVersionsInput{LayerName: aws.String("l"), MaxItems: aws.Int32(2)})
	var numbers []int64
	for layers.HasMorePages() {
		out, err := layers.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out.LayerVersions {
			numbers = append(numbers, v.Version)
		}
	}
	if !slices.Equal(numbers, []int64{3, 2, 1}) {
		t.Errorf("%v", numbers)
	}
}
