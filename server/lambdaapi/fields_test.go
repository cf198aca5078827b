package lambdaapi_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestAnswersHaveExactlyAWSFields holds every answer's members to LAMBDA-API.md §2.
func TestAnswersHaveExactlyAWSFields(t *testing.T) {
	w := newWorld(t)
	base := "FunctionName FunctionArn Runtime Role Handler CodeSize Description Timeout MemorySize LastModified CodeSha256 Version TracingConfig RevisionId PackageType Architectures EphemeralStorage SnapStart LoggingConfig"
	full := base + " State RuntimeVersionConfig"
	check := func(what string, m map[string]any, want string) {
		t.Helper()
		got := slices.Sorted(maps.Keys(m))
		expect := strings.Fields(want)
		slices.Sort(expect)
		if !slices.Equal(got, expect) {
			t.Errorf("%s:\n got %v\nwant %v", what, got, expect)
		}
	}
	sub := func(m map[string]any, name string) map[string]any { s, _ := m[name].(map[string]any); return s }
	first := func(m map[string]any, name string) map[string]any {
		l, _ := m[name].([]any)
		if len(l) == 0 {
			t.Fatalf("%s is empty", name)
		}
		s, _ := l[len(l)-1].(map[string]any)
		return s
	}
	f := w.create("f", "")
	check("CreateFunction", f, full+" StateReason StateReasonCode")
	check("TracingConfig", sub(f, "TracingConfig"), "Mode")
	check("EphemeralStorage", sub(f, "EphemeralStorage"), "Size")
	check("SnapStart", sub(f, "SnapStart"), "ApplyOn OptimizationStatus")
	check("LoggingConfig", sub(f, "LoggingConfig"), "LogFormat LogGroup")
	g := w.good(200, "GET", fns+"f", "")
	check("GetFunction", g, "Configuration Code")
	check("GetFunction Configuration", sub(g, "Configuration"), full+" LastUpdateStatus")
	check("GetFunction Code", sub(g, "Code"), "RepositoryType Location")
	check("UpdateFunctionConfiguration", w.good(200, "PUT", fns+"f/configuration", `{"Environment":{"Variables":{"AB":"1"}},"DeadLetterConfig":{"TargetArn":"arn:aws:sqs:us-east-1:000000000000:q"}}`), full+" Environment DeadLetterConfig LastUpdateStatus LastUpdateStatusReason LastUpdateStatusReasonCode")
	check("ListFunctions", first(w.good(200, "GET", "/2015-03-31/functions", ""), "Functions"), base+" Environment DeadLetterConfig")
	check("PublishVersion", w.good(201, "POST", fns+"f/versions", ""), full+" Environment DeadLetterConfig LastUpdateStatus")
	check("GetFunctionConfiguration of a version", w.good(200, "GET", fns+"f:1/configuration", ""), full+" Environment DeadLetterConfig LastUpdateStatus")
	a := w.good(201, "POST", fns+"f/aliases", `{"Name":"a","FunctionVersion":"1"}`)
	check("CreateAlias", a, "AliasArn Name FunctionVersion Description RevisionId")
	check("ListAliases", first(w.good(200, "GET", fns+"f/aliases", ""), "Aliases"), "AliasArn Name FunctionVersion Description RevisionId")
	l := w.good(201, "POST", "/2018-10-31/layers/l/versions", `{"Content":{"ZipFile":"`+base64Of(zipOf(t, "a", "1"))+`"},"CompatibleRuntimes":["nodejs22.x"],"CompatibleArchitectures":["arm64"],"LicenseInfo":"MIT"}`)
	layer := "LayerArn LayerVersionArn Version CreatedDate Description Content CompatibleRuntimes CompatibleArchitectures LicenseInfo"
	check("PublishLayerVersion", l, layer)
	check("layer's Content", sub(l, "Content"), "CodeSha256 CodeSize Location")
	check("GetLayerVersion", w.good(200, "GET", "/2018-10-31/layers/l/versions/1", ""), layer)
	listed := first(w.good(200, "GET", "/2018-10-31/layers", ""), "Layers")
	check("ListLayers", listed, "LayerName LayerArn LatestMatchingVersion")
	check("LatestMatchingVersion", sub(listed, "LatestMatchingVersion"), "LayerVersionArn Version CreatedDate Description CompatibleRuntimes CompatibleArchitectures LicenseInfo")
	url := w.good(201, "POST", "/2021-10-31/functions/f/url", `{"AuthType":"NONE"}`)
	check("CreateFunctionUrlConfig", url, "FunctionUrl FunctionArn AuthType CreationTime InvokeMode")
	check("GetFunctionUrlConfig", w.good(200, "GET", "/2021-10-31/functions/f/url", ""), "FunctionUrl FunctionArn AuthType CreationTime InvokeMode LastModifiedTime")
	async := w.good(200, "PUT", "/2019-09-25/functions/f/event-invoke-config", `{"MaximumRetryAttempts":0}`)
	check("PutFunctionEventInvokeConfig", async, "FunctionArn LastModified DestinationConfig MaximumRetryAttempts")
	if async["FunctionArn"] != arn+"f:$LATEST" {
		t.Errorf("%v", async["FunctionArn"])
	}
	settings := w.good(200, "GET", "/2016-08-19/account-settings", "")
	check("AccountLimit", sub(settings, "AccountLimit"), "TotalCodeSize CodeSizeUnzipped CodeSizeZipped ConcurrentExecutions UnreservedConcurrentExecutions")
	check("AccountUsage", sub(settings, "AccountUsage"), "TotalCodeSize FunctionCount")
	check("AddPermission", w.good(201, "POST", fns+"f/policy", `{"StatementId":"s","Action":"lambda:InvokeFunction","Principal":"*"}`), "Statement")
	check("GetPolicy", w.good(200, "GET", fns+"f/policy", ""), "Policy RevisionId")
	check("GetFunctionConcurrency", w.good(200, "GET", "/2019-09-30/functions/f/concurrency", ""), "")
	check("PutFunctionConcurrency", w.good(200, "PUT", "/2017-10-31/functions/f/concurrency", `{"ReservedConcurrentExecutions":3}`), "ReservedConcurrentExecutions")
	withMore := w.good(200, "GET", fns+"f", "")
	check("GetFunction with a reservation", withMore, "Configuration Code Concurrency")
}

func TestEveryFormOfAFunctionsNameIsTaken(t *testing.T) {
	w := newWorld(t)
	w.create("f", "")
	w.good(201, "POST", fns+"f/versions", "")
	w.good(201, "POST", fns+"f/aliases", `{"Name":"prod","FunctionVersion":"1"}`)
	for _, c := range []struct{ ref, arn string }{
		{"f", arn + "f"}, {"f:prod", arn + "f:prod"}, {"f:1", arn + "f:1"}, {"f:$LATEST", arn + "f:$LATEST"}, {"f?Qualifier=prod", arn + "f:prod"},
		{"function:f", arn + "f"}, {"000000000000:function:f", arn + "f"}, {"000000000000:function:f:prod", arn + "f:prod"}, {"us-east-1:000000000000:function:f", arn + "f"}, {"000000000000:f", arn + "f"},
		{arn + "f", arn + "f"}, {arn + "f:prod", arn + "f:prod"}, {strings.ReplaceAll(arn, ":", "%3A") + "f%3A1", arn + "f:1"},
	} {
		name, query, _ := strings.Cut(c.ref, "?")
		path := fns + name + "/configuration"
		if query != "" {
			path += "?" + query
		}
		if got := w.good(200, "GET", path, "")["FunctionArn"]; got != c.arn {
			t.Errorf("%s: %v, want %s", c.ref, got, c.arn)
		}
	}
}
