package code

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"kiln/lambda"
)

// shapes are the public types that functions read events with.
var shapes = map[string]any{
	"api-gateway-v1": events.APIGatewayProxyRequest{}, "http-api-v2": events.APIGatewayV2HTTPRequest{}, "function-url": events.LambdaFunctionURLRequest{},
	"authorizer": events.APIGatewayCustomAuthorizerRequestTypeRequest{}, "s3-put": events.S3Event{}, "s3-delete": events.S3Event{},
	"dynamodb-update": events.DynamoDBEvent{}, "sqs": events.SQSEvent{}, "sns": events.SNSEvent{}, "scheduled": events.EventBridgeEvent{},
	"cloudwatch-logs": events.CloudwatchLogsEvent{}, "kinesis": events.KinesisEvent{}, "alb": events.ALBTargetGroupRequest{},
}

func TestEventsHaveTheShapesOfTheirSources(t *testing.T) {
	for _, e := range EventTemplates() {
		if !json.Valid(e.Body) || !bytes.HasPrefix(e.Body, []byte("{\n  \"")) || len(e.Body) > lambda.MaxKeptBody {
			t.Errorf("%s is not indented JSON of a fitting size", e.ID)
		}
		shape, typed := shapes[e.ID]
		if !typed {
			continue
		}
		v := reflect.New(reflect.TypeOf(shape))
		d := json.NewDecoder(bytes.NewReader(e.Body))
		d.DisallowUnknownFields()
		if err := d.Decode(v.Interface()); err != nil && !knownGap(err) {
			t.Errorf("%s: %v", e.ID, err)
		}
		if v.Elem().IsZero() {
			t.Errorf("%s: nothing was read", e.ID)
		}
	}
	if len(EventTemplates()) != len(shapes)+1 {
		t.Error("an event without a shape")
	}
}

// knownGap names fields that AWS sends and the Go types leave out.
func knownGap(err error) bool {
	for _, field := range []string{"domainPrefix", "protocol", "requestTimeEpoch", "extendedRequestId", "routeKey", "principalOrgId"} {
		if strings.Contains(err.Error(), field) {
			return true
		}
	}
	return false
}

func TestCloudWatchLogsEventUnpacks(t *testing.T) {
	for _, e := range EventTemplates() {
		if e.ID != "cloudwatch-logs" {
			continue
		}
		var in events.CloudwatchLogsEvent
		if err := json.Unmarshal(e.Body, &in); err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(in.AWSLogs.Data)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		var data events.CloudwatchLogsData
		if err != nil || json.Unmarshal(text, &data) != nil || len(data.LogEvents) != 2 {
			t.Errorf("%s %v", text, err)
		}
	}
}

func TestTemplatesBuildIntoPackagesWithTheirHandler(t *testing.T) {
	for _, tpl := range Templates() {
		zip, err := Build(tpl.Files)
		if err != nil {
			t.Fatalf("%s: %v", tpl.ID, err)
		}
		if err := Check(zip); err != nil {
			t.Errorf("%s: %v", tpl.ID, err)
		}
		file, _, _ := strings.Cut(tpl.Handler, ".")
		found, bootstrap := false, false
		for _, f := range tpl.Files {
			found = found || strings.HasPrefix(f.Path, file+".")
			bootstrap = bootstrap || f.Path == "bootstrap" && f.Mode == 0o755
		}
		if !found || bootstrap != strings.HasPrefix(tpl.Runtime, "provided") {
			t.Errorf("%s: handler %s, bootstrap %v", tpl.ID, tpl.Handler, bootstrap)
		}
		if again, err := TemplateByID(tpl.ID); err != nil || again.ID != tpl.ID || len(again.Event.Body) == 0 {
			t.Errorf("%s: %v", tpl.ID, err)
		}
	}
	if _, err := TemplateByID("../x"); lambda.KindOf(err) != lambda.NotFound {
		t.Error(err)
	}
}
