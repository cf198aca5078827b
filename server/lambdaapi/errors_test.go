package lambdaapi_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"kiln/lambda"
)

// scene is one wrong call: what AWS answers is recorded in lambda-errors.tsv.
type scene struct {
	method, path, body string
	status             int
	code               string
	message            string // exact, or a prefix when it ends in "…"
	keys               string // members of the body, sorted
}

const (
	typeMessage = "Type,message"
	typeUpper   = "Message,Type"
	onlyMessage = "message"
)

func (w *world) play(t *testing.T, scenes []scene) {
	t.Helper()
	for _, s := range scenes {
		a := w.do(s.method, s.path, s.body)
		name := fmt.Sprintf("%s %s %.120s", s.method, s.path, s.body)
		m := map[string]string{}
		if err := json.Unmarshal([]byte(a.body), &m); err != nil {
			t.Errorf("%s: %d, body %q: %v", name, a.status, a.body, err)
			continue
		}
		text := m["message"] + m["Message"]
		w.said = append(w.said, text)
		prefix, open := strings.CutSuffix(s.message, "…")
		if a.status != s.status || a.header.Get("X-Amzn-Errortype") != s.code || text != s.message && !(open && strings.HasPrefix(text, prefix)) {
			t.Errorf("%s:\n got %d %s: %s\nwant %d %s: %s", name, a.status, a.header.Get("X-Amzn-Errortype"), text, s.status, s.code, s.message)
		}
		var keys []string
		for _, k := range []string{"Message", "Reason", "Type", "message"} {
			if _, ok := m[k]; ok {
				keys = append(keys, k)
			}
		}
		if got := strings.Join(keys, ","); s.keys != "" && got != s.keys {
			t.Errorf("%s: body has %s, want %s", name, got, s.keys)
		}
	}
}

const (
	invalidCode  = "InvalidParameterValueException"
	conflictCode = "ResourceConflictException"
	missingCode  = "ResourceNotFoundException"
	staleCode    = "PreconditionFailedException"
	checkCode    = "ValidationException"
	fns          = "/2015-03-31/functions/"
)

func TestWrongCallsAreAnsweredInAWSWords(t *testing.T) {
	w := newWorld(t)
	w.create("f", "")
	w.create("g", "")
	first := w.good(201, "POST", fns+"f/versions", `{}`)
	w.good(200, "PUT", fns+"f/code", `{"ZipFile":"`+base64Of(zipOf(t, "index.js", "2"))+`"}`)
	second := w.good(201, "POST", fns+"f/versions", `{}`)
	if first["Version"] != "1" || second["Version"] != "2" {
		t.Fatalf("versions %v, %v", first["Version"], second["Version"])
	}
	w.good(201, "POST", fns+"f/aliases", `{"Name":"custom","FunctionVersion":"1"}`)
	w.good(201, "POST", fns+"f/policy", `{"StatementId":"s1","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com"}`)
	w.good(201, "POST", "/2018-10-31/layers/lib/versions", `{"Content":{"ZipFile":"`+base64Of(zipOf(t, "a", "1"))+`"}}`)
	w.good(201, "POST", "/2018-10-31/layers/lib/versions", `{"Content":{"ZipFile":"`+base64Of(zipOf(t, "a", "2"))+`"}}`)
	w.good(201, "POST", "/2021-10-31/functions/f/url", `{"AuthType":"NONE"}`)
	for _, part := range [][]scene{functionScenes(w), versionScenes, configScenes, policyScenes, layerScenes, asyncScenes, urlScenes, tagScenes, provisionedScenes, mappingScenes, invokeScenes, otherScenes} {
		w.play(t, part)
	}
	w.create("busy", "")
	w.play(t, []scene{{"POST", fns + "busy/invocations", `{}`, 429, "TooManyRequestsException", "Rate Exceeded.", "Reason,Type,message"}})
	w.playWithState(t)
	w.playLarge(t)
	checkRecordings(t, w.said)
}

// playWithState provokes what needs something to be there first.
func (w *world) playWithState(t *testing.T) {
	provision := "/2019-09-30/functions/f/provisioned-concurrency?Qualifier="
	w.good(202, "PUT", provision+"1", `{"ProvisionedConcurrentExecutions":2}`)
	w.play(t, []scene{
		{"PUT", provision + "custom", `{"ProvisionedConcurrentExecutions":1}`, 409, conflictCode, "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version", typeMessage},
		{"PUT", "/2017-10-31/functions/f/concurrency", `{"ReservedConcurrentExecutions":1}`, 400, invalidCode, " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2].", onlyMessage},
	})
	w.good(200, "PUT", "/2017-10-31/functions/f/concurrency", `{"ReservedConcurrentExecutions":2}`)
	w.play(t, []scene{{"PUT", provision + "2", `{"ProvisionedConcurrentExecutions":3}`, 400, invalidCode, "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function", typeMessage}})
	w.good(204, "DELETE", provision+"1", "")
	w.good(202, "PUT", provision+"custom", `{"ProvisionedConcurrentExecutions":1}`)
	w.play(t, []scene{{"PUT", provision + "1", `{"ProvisionedConcurrentExecutions":1}`, 409, conflictCode, "Version is pointed by a Provisioned Concurrency alias", typeMessage}})
	kafka := `{"FunctionName":"f","SelfManagedEventSource":{"Endpoints":{"KAFKA_BOOTSTRAP_SERVERS":["kafka:1000"]}},"Topics":["topic"],"SourceAccessConfigurations":[{"Type":"BASIC_AUTH","URI":"arn:aws:secretsmanager:us-east-1:000000000000:secret:s"}]}`
	id := w.good(202, "POST", "/2015-03-31/event-source-mappings", kafka)["UUID"]
	w.play(t, []scene{{"POST", "/2015-03-31/event-source-mappings", kafka, 409, conflictCode,
		fmt.Sprintf(`An event source mapping with event source ("kafka:1000"), function ("%sf"), topics ("topic") already exists. Please update or delete the existing mapping with UUID %s`, arn, id), typeMessage}})
}

// playLarge provokes what needs large packages.
func (w *world) playLarge(t *testing.T) {
	body := func(zip []byte) string {
		return `{"FunctionName":"large","Role":"` + role + `","Runtime":"nodejs22.x","Handler":"a.b","Code":{"ZipFile":"` + base64Of(zip) + `"}}`
	}
	w.play(t, []scene{
		{"POST", "/2015-03-31/functions", body(make([]byte, lambda.MaxZip+1)), 413, "RequestEntityTooLargeException", "Zipped size must be smaller than 52428800 bytes", onlyMessage},
		{"POST", "/2015-03-31/functions", strings.Repeat(" ", lambda.MaxRequest+1), 413, "RequestEntityTooLargeException", "Request must be smaller than 70167211 bytes for the CreateFunction operation", onlyMessage},
		{"POST", "/2015-03-31/functions", body(claiming(t, lambda.MaxUnzipped+1)), 400, invalidCode, "Unzipped size must be smaller than 262144000 bytes", typeMessage},
	})
}

// claiming is a package whose one file says that it has so many bytes.
func claiming(t *testing.T, size uint64) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if _, err := z.CreateRaw(&zip.FileHeader{Name: "zeros", Method: zip.Deflate, UncompressedSize64: size, CompressedSize64: 0}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unreached are recorded errors of what is not here, and why.
var unreached = map[string]string{
	"Please provide ImageUri when updating a function with packageType Image.": "no container images",
	"Error occurred while GetObject. S3 Error Code: NoSuchKey":                 "no buckets yet",
	"An update is in progress": "changes are settled when they are answered",
}

// checkRecordings holds that every recorded error whose feature is here was provoked by a scene.
func checkRecordings(t *testing.T, said []string) {
	b, err := os.ReadFile("testdata/lambda-errors.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range said {
		all = append(all, shapeOf(s))
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) < 3 || f[0] == "http" || f[2] == "" {
			continue
		}
		want := shapeOf(f[2])
		if !slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, want) || strings.HasPrefix(want, s) }) && !isUnreached(f[2]) {
			t.Errorf("no scene answers the recorded %s: %.200s", f[1], f[2])
		}
	}
}

func isUnreached(text string) bool {
	for prefix := range unreached {
		if strings.Contains(text, prefix) {
			return true
		}
	}
	return false
}

var (
	variable = regexp.MustCompile(`<[^>]*>|\b[0-9a-f]{8}-[0-9a-f-]{27}|arn:\S+|'[^']*'|\([a-z]?[0-9]*[^()]*\)|\[[^\]]*\]|\b\d+\b|parameter of \S+|Value .*? at|\bus-east-1\b|Statement \S+`)
	lists    = regexp.MustCompile(`enum value set: .*`)
)

// shapeOf leaves out what differs between two provocations of one error.
func shapeOf(text string) string {
	text = lists.ReplaceAllString(text, "enum value set")
	if i := strings.Index(text, "String measured"); i > 0 {
		text = text[:i]
	}
	return variable.ReplaceAllString(text, "*")
}

func long(n int) string { return strings.Repeat("a", n) }

func functionScenes(w *world) []scene {
	notZip := base64Of([]byte("not a zip"))
	with := func(extra string) string {
		return `{"FunctionName":"n","Role":"` + role + `","Runtime":"nodejs22.x","Handler":"a.b","Code":{"ZipFile":"` + notZip + `"}` + extra + `}`
	}
	return []scene{
		{"POST", "/2015-03-31/functions", w.createBody("f", ""), 409, conflictCode, "Function already exist: f", typeMessage},
		{"POST", "/2015-03-31/functions", strings.Replace(with(""), `"n"`, `"`+long(65)+`"`, 1), 400, invalidCode, "1 validation error detected: Value '" + long(65) + "' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64", typeMessage},
		{"POST", "/2015-03-31/functions", with(""), 400, invalidCode, "Could not unzip uploaded file. Please check your file, then try to upload again.", typeMessage},
		{"POST", "/2015-03-31/functions", with(`,"Timeout":901`), 400, checkCode, "1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900", onlyMessage},
		{"POST", "/2015-03-31/functions", with(`,"Architectures":["X86_64"]`), 400, checkCode, "1 validation error detected: Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]", onlyMessage},
		{"POST", "/2015-03-31/functions", with(`,"Architectures":["x86_64","arm64"]`), 400, checkCode, "1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member must have length less than or equal to 1", onlyMessage},
		{"POST", "/2015-03-31/functions", strings.Replace(with(""), role, "r1", 1), 400, checkCode, `1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`, onlyMessage},
		{"POST", "/2015-03-31/functions", strings.Replace(with(""), role, "arn:aws:iam::000000000000:role/nobody", 1), 400, invalidCode, "The role defined for the function cannot be assumed by Lambda.", typeMessage},
		{"POST", "/2015-03-31/functions", strings.Replace(with(""), "nodejs22.x", "nodejs12.x", 1), 400, invalidCode, "The runtime parameter of nodejs12.x is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.", typeMessage},
		{"POST", "/2015-03-31/functions", strings.Replace(with(""), "nodejs22.x", "non-existent-runtime", 1), 400, invalidCode, "Value non-existent-runtime at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: […", ""},
		{"POST", "/2015-03-31/functions", with(`,"Code":{"S3Bucket":"b","S3Key":"k"}`), 400, invalidCode, "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist", typeMessage},
		{"POST", "/2015-03-31/functions", with(`,"VpcConfig":{"SubnetIds":["subnet-1"],"SecurityGroupIds":[]}`), 400, invalidCode, "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: The subnet ID 'subnet-1' does not exist", typeMessage},
		{"POST", "/2015-03-31/functions", with(`,"VpcConfig":{"SubnetIds":["net1"]}`), 400, checkCode, "1 validation error detected: Value '[net1]' at 'vpcConfig.subnetIds' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: subnet-[0-9a-z]*]", onlyMessage},
		{"POST", "/2015-03-31/functions", with(`,"VpcConfig":{"SecurityGroupIds":["sg-1"]}`), 400, invalidCode, "Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound. EC2 Error Message: The security group 'sg-1' does not exist", typeMessage},
		{"POST", "/2015-03-31/functions", with(`,"SnapStart":{"ApplyOn":"invalidOption"}`), 400, checkCode, "1 validation error detected: Value 'invalidOption' at 'snapStart.applyOn' failed to satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]", onlyMessage},
		{"POST", "/2015-03-31/functions", with(`,"Environment":{"Variables":{"LARGE_VAR":"` + strings.Repeat("x", 4097) + `"}}`), 400, invalidCode, `Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: {"LARGE_VAR":"` + strings.Repeat("x", 4097) + `"}`, typeMessage},
		{"POST", "/2015-03-31/functions", strings.Replace(w.createBody("n2", ""), `"FunctionName"`, `"Environment":{"Variables":{"AWS_REGION":"x"}},"FunctionName"`, 1), 400, invalidCode, "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION", typeMessage},
		{"POST", "/2015-03-31/functions", `{"FunctionName": 7`, 400, "SerializationException", "Could not parse request body into json", onlyMessage},
		{"GET", fns + "doesnotexist", "", 404, missingCode, "Function not found: " + arn + "doesnotexist", typeUpper},
		{"GET", fns + "doesnotexist?Qualifier=1", "", 404, missingCode, "Function not found: " + arn + "doesnotexist:1", typeUpper},
		{"GET", fns + "f?Qualifier=10", "", 404, missingCode, "Function not found: " + arn + "f:10", typeUpper},
		{"GET", fns + "f:aliasdoesnotexist/configuration", "", 404, missingCode, "Function not found: " + arn + "f:aliasdoesnotexist", typeUpper},
		{"GET", fns + "arn%3Aaws%3Alambda%3Aap-southeast-1%3A000000000000%3Afunction%3Af", "", 404, missingCode, "Functions from 'ap-southeast-1' are not reachable in this region ('us-east-1')", typeUpper},
		{"GET", fns + "arn%3Aaws%3Alambda%3Aus-east-1%3A111111111111%3Afunction%3Af", "", 403, "AccessDeniedException", "User: arn:aws:iam::000000000000:root is not authorized to perform: lambda:GetFunction on resource: arn:aws:lambda:us-east-1:111111111111:function:f…", "Message"},
		{"GET", fns + "invalid%3Afunction%3Aname", "", 400, checkCode, `1 validation error detected: Value 'invalid:function:name' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`, onlyMessage},
		{"GET", fns + "f?Qualifier=invalid-qualifier-with-%3F-char", "", 400, checkCode, `1 validation error detected: Value 'invalid-qualifier-with-?-char' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: \$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`, onlyMessage},
		{"GET", fns + "f:1?Qualifier=2", "", 400, invalidCode, "The derived qualifier from the function name does not match the specified qualifier.", typeMessage},
		{"GET", fns + long(141), "", 400, checkCode, "1 validation error detected: Value '" + long(141) + "' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 140", onlyMessage},
		{"DELETE", fns + "f?Qualifier=%24LATEST", "", 400, invalidCode, "$LATEST version cannot be deleted without deleting the function.", typeMessage},
		{"DELETE", fns + "doesnotexist", "", 404, missingCode, "Function not found: " + arn + "doesnotexist", typeUpper},
		{"DELETE", fns + "f?Qualifier=1", "", 409, conflictCode, "Version is pointed to by an alias…", typeMessage},
		{"PUT", fns + "f:1/configuration", "{}", 400, invalidCode, "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.", typeMessage},
		{"PUT", fns + "f/code", `{"ImageUri":"x"}`, 400, invalidCode, "Please don't provide ImageUri when updating a function with packageType Zip.", typeMessage},
		{"PUT", fns + "f/code", `{"RevisionId":"old","ZipFile":"` + notZip + `"}`, 412, staleCode, "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id", typeMessage},
		{"PUT", fns + "f/configuration", `{"RevisionId":"old","Timeout":4}`, 412, staleCode, "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id", typeMessage},
		{"GET", "/2015-03-31/functions?FunctionVersion=invalid", "", 400, checkCode, "1 validation error detected: Value 'invalid' at 'functionVersion' failed to satisfy constraint: Member must satisfy enum value set: [ALL]", onlyMessage},
	}
}

var versionScenes = []scene{
	{"POST", fns + "f/versions", `{"CodeSha256":"somenonexistentsha256"}`, 400, invalidCode, "CodeSHA256 (somenonexistentsha256) is different from current CodeSHA256 in $LATEST (…", typeMessage},
	{"POST", fns + "f/versions", `{"RevisionId":"old"}`, 412, staleCode, "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id", typeMessage},
	{"POST", fns + "doesnotexist/versions", `{}`, 404, missingCode, "Function not found: " + arn + "doesnotexist", typeUpper},
	{"GET", fns + "doesnotexist/versions", "", 404, missingCode, "Function not found: " + arn + "doesnotexist", typeUpper},
	{"POST", fns + "f/aliases", `{"Name":"custom","FunctionVersion":"1"}`, 409, conflictCode, "Alias already exists: " + arn + "f:custom", typeMessage},
	{"POST", fns + "f/aliases", `{"Name":"new","FunctionVersion":"42"}`, 404, missingCode, "Function not found: " + arn + "f:42", typeUpper},
	{"POST", fns + "f/aliases", `{"Name":"2024","FunctionVersion":"1"}`, 400, checkCode, "1 validation error detected: Value '2024' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)", onlyMessage},
	{"POST", fns + "f/aliases", `{"Name":"n","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"1":0.5}}}`, 400, invalidCode, "Invalid function version 1. Function version 1 is already included in routing configuration.", typeMessage},
	{"POST", fns + "f/aliases", `{"Name":"n","FunctionVersion":"$LATEST","RoutingConfig":{"AdditionalVersionWeights":{"1":0.5}}}`, 400, invalidCode, "$LATEST is not supported for an alias pointing to more than 1 version", typeMessage},
	{"POST", fns + "f/aliases", `{"Name":"n","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":0.5,"3":0.2}}}`, 400, invalidCode, "Number of items in AdditionalVersionWeights cannot be greater than 1", typeMessage},
	{"POST", fns + "f/aliases", `{"Name":"n","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":2.0}}}`, 400, checkCode, "1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]", onlyMessage},
	{"POST", fns + "f/aliases", `{"Name":"n","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":-1.0}}}`, 400, checkCode, "1 validation error detected: Value '{2=-1.0}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: […", onlyMessage},
	{"POST", fns + "f/aliases", `{"Name":"n","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"$LATEST":0.5}}}`, 400, checkCode, "1 validation error detected: Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map keys must satisfy constraint: […", onlyMessage},
	{"GET", fns + "f/aliases/non-existent", "", 404, missingCode, "Cannot find alias arn: " + arn + "f:non-existent", typeUpper},
	{"GET", fns + "doesnotexist/aliases/noalias", "", 404, missingCode, "Cannot find alias arn: " + arn + "doesnotexist:noalias", typeUpper},
	{"PUT", fns + "f/aliases/non-existent", `{"FunctionVersion":"1"}`, 404, missingCode, "Alias not found: " + arn + "f:non-existent", typeUpper},
	{"PUT", fns + "f/aliases/custom", `{"RevisionId":"old"}`, 412, staleCode, "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id", typeMessage},
}

var configScenes = []scene{
	{"PUT", "/2017-10-31/functions/f/concurrency", `{"ReservedConcurrentExecutions":2000}`, 400, invalidCode, "Specified ReservedConcurrentExecutions for function is greater than account's unreserved concurrency [1000].", onlyMessage},
	{"PUT", "/2017-10-31/functions/f/concurrency", `{"ReservedConcurrentExecutions":950}`, 400, invalidCode, "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].", onlyMessage},
	{"PUT", "/2017-10-31/functions/doesnotexist/concurrency", `{"ReservedConcurrentExecutions":1}`, 404, missingCode, "Function not found: " + arn + "doesnotexist", typeUpper},
	{"PUT", "/2017-10-31/functions/f:1/concurrency", `{"ReservedConcurrentExecutions":1}`, 400, invalidCode, "This operation is permitted on Lambda functions only…", typeMessage},
	{"PUT", fns + "f/configuration", `{"Layers":["` + layerArn("doesnotexist:1") + `"]}`, 400, invalidCode, "Layer version " + layerArn("doesnotexist:1") + " does not exist.", typeMessage},
	{"PUT", fns + "f/configuration", `{"Layers":["` + layerArn("lib:9") + `"]}`, 400, invalidCode, "Layer version " + layerArn("lib:9") + " does not exist.", typeMessage},
	{"PUT", fns + "f/configuration", `{"Layers":["` + layerArn("lib:1") + `","` + layerArn("lib:2") + `"]}`, 400, invalidCode, "Two different versions of the same layer are not allowed to be referenced in the same function. " + layerArn("lib:1") + " and " + layerArn("lib:2") + " are versions of the same layer.", typeMessage},
	{"PUT", fns + "f/configuration", `{"Layers":["` + strings.Replace(layerArn("lib:1"), "us-east-1", "eu-west-1", 1) + `"]}`, 400, invalidCode, "Layers are not in the same region as the function. Layers are expected to be in region us-east-1.", typeMessage},
	{"PUT", fns + "f/configuration", `{"Layers":["` + layerArn("lib") + `"]}`, 400, checkCode, "1 validation error detected: Value '[" + layerArn("lib") + "]' at 'layers' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 2048…", onlyMessage},
	{"PUT", fns + "f/configuration", `{"Layers":["` + strings.Join([]string{layerArn("a:1"), layerArn("b:1"), layerArn("c:1"), layerArn("d:1"), layerArn("e:1"), layerArn("f:1")}, `","`) + `"]}`, 400, invalidCode, "Cannot reference more than 5 layers.", typeMessage},
}

func layerArn(rest string) string { return "arn:aws:lambda:us-east-1:000000000000:layer:" + rest }

var policyScenes = []scene{
	{"DELETE", fns + "doesnotexist/policy/s", "", 404, missingCode, "No policy found for: " + arn + "doesnotexist", typeUpper},
	{"POST", fns + "f/policy", `{"StatementId":"s1","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com"}`, 409, conflictCode, "The statement id (s1) provided already exists. Please provide a new statement id, or remove the existing statement.", typeMessage},
	{"POST", fns + "f/policy", `{"StatementId":"s2","Action":"lambda:InvokeFunction","Principal":"invalid.nonaws.com"}`, 400, invalidCode, "The provided principal was invalid. Please check the principal and try again.", typeMessage},
	{"POST", fns + "f/policy", `{"StatementId":"example.com","Action":"lambda:InvokeFunction","Principal":"*"}`, 400, checkCode, "1 validation error detected: Value 'example.com' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)", onlyMessage},
	{"POST", fns + "f/policy?Qualifier=%24LATEST", `{"StatementId":"s2","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com"}`, 400, invalidCode, "We currently do not support adding policies for $LATEST.", typeMessage},
	{"POST", fns + "f/policy?Qualifier=42", `{"StatementId":"s2","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com"}`, 404, missingCode, "Function not found: " + arn + "f:42", typeUpper},
	{"POST", fns + "f/policy", `{"StatementId":"s2","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com","RevisionId":"old"}`, 412, staleCode, "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id", typeMessage},
	{"GET", fns + "g/policy", "", 404, missingCode, "The resource you requested does not exist.", typeUpper},
	{"DELETE", fns + "f/policy/non-existent", "", 404, missingCode, "Statement non-existent is not found in resource policy.", typeUpper},
	{"DELETE", fns + "g/policy/s3", "", 404, missingCode, "No policy is associated with the given resource.", typeUpper},
	{"DELETE", fns + "f/policy/s1?RevisionId=old", "", 412, staleCode, "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id", typeMessage},
}

var layerScenes = []scene{
	{"POST", "/2018-10-31/layers/x/versions", `{"CompatibleRuntimes":["invalidruntime"],"CompatibleArchitectures":["invalidarch"],"Content":{"ZipFile":"UEs="}}`, 400, checkCode, "2 validation errors detected: Value '[invalidruntime]' at 'compatibleRuntimes' failed to satisfy constraint: Member must satisfy enum value set: […", onlyMessage},
	{"POST", "/2018-10-31/layers/lib/versions/9/policy", `{"StatementId":"s","Action":"lambda:GetLayerVersion","Principal":"*"}`, 404, missingCode, "Layer version " + layerArn("lib:9") + " does not exist.", typeUpper},
	{"GET", "/2018-10-31/layers/lib/versions/42", "", 404, missingCode, "The resource you requested does not exist.", typeUpper},
	{"GET", "/2018-10-31/layers/lib/versions/0", "", 400, invalidCode, "Layer Version Cannot be less than 1", typeMessage},
	{"DELETE", "/2018-10-31/layers/lib/versions/0", "", 400, invalidCode, "Layer Version Cannot be less than 1", typeMessage},
	{"GET", "/2018-10-31/layers?find=LayerVersion&Arn=" + strings.ReplaceAll(layerArn("lib"), ":", "%3A"), "", 400, checkCode, `1 validation error detected: Value '` + layerArn("lib") + `' at 'arn' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)`, onlyMessage},
	{"GET", "/2018-10-31/layers?CompatibleArchitecture=archdoesnotexist", "", 400, checkCode, "1 validation error detected: Value 'archdoesnotexist' at 'compatibleArchitecture' failed to satisfy constraint: Member must satisfy enum value set: [x86_64, arm64]", onlyMessage},
	{"GET", "/2018-10-31/layers?CompatibleRuntime=runtimedoesnotexist", "", 400, checkCode, "1 validation error detected: Value 'runtimedoesnotexist' at 'compatibleRuntime' failed to satisfy constraint: Member must satisfy enum value set: […", onlyMessage},
	{"POST", "/2018-10-31/layers/lib/versions/1/policy", `{"StatementId":"s","Action":"*","Principal":"*"}`, 400, checkCode, "1 validation error detected: Value '*' at 'action' failed to satisfy constraint: Member must satisfy regular expression pattern: lambda:GetLayerVersion", onlyMessage},
	{"POST", "/2018-10-31/layers/lib-doesnotexist/versions/1/policy", `{"StatementId":"s","Action":"lambda:GetLayerVersion","Principal":"*"}`, 404, missingCode, "Layer version " + layerArn("lib-doesnotexist:1") + " does not exist.", typeUpper},
	{"POST", "/2018-10-31/layers/lib/versions/1/policy?RevisionId=old", `{"StatementId":"s","Action":"lambda:GetLayerVersion","Principal":"*"}`, 412, staleCode, "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id", typeMessage},
	{"GET", "/2018-10-31/layers/lib/versions/1/policy", "", 404, missingCode, "No policy is associated with the given resource.", typeUpper},
	{"POST", "/2018-10-31/layers/lib/versions", `{"Content":{"S3Bucket":"b","S3Key":"k"}}`, 400, invalidCode, "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist", typeMessage},
}

var asyncScenes = []scene{
	{"PUT", "/2019-09-25/functions/f/event-invoke-config", `{}`, 400, invalidCode, "You must specify at least one of error handling or destination setting.", typeMessage},
	{"PUT", "/2019-09-25/functions/f/event-invoke-config", `{"DestinationConfig":{"OnSuccess":{"Destination":"` + arn + `f"}}}`, 400, invalidCode, "You can't specify the function as a destination for itself.", typeMessage},
	{"PUT", "/2019-09-25/functions/f/event-invoke-config", `{"DestinationConfig":{"OnFailure":{"Destination":"` + arn + `doesnotexist"}}}`, 400, invalidCode, "The destination ARN " + arn + "doesnotexist is invalid.", typeMessage},
	{"PUT", "/2019-09-25/functions/f/event-invoke-config", `{"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:iam:us-east-1:000000000000:function:f"}}}`, 400, invalidCode, "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=arn:aws:iam:us-east-1:000000000000:function:f), onFailure=null) is invalid.", typeMessage},
	{"PUT", "/2019-09-25/functions/f/event-invoke-config", `{"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:_-/!lambda:x"}}}`, 400, checkCode, `1 validation error detected: Value 'arn:aws:_-/!lambda:x' at 'destinationConfig.onFailure.destination' failed to satisfy constraint: Member must satisfy regular expression pattern: $|kafka://…`, onlyMessage},
	{"PUT", "/2019-09-25/functions/doesnotexist/event-invoke-config", `{"MaximumRetryAttempts":1}`, 404, missingCode, "The function doesn't exist.", typeUpper},
	{"GET", "/2019-09-25/functions/f/event-invoke-config", "", 404, missingCode, "The function " + arn + "f:$LATEST doesn't have an EventInvokeConfig", typeUpper},
	{"GET", "/2019-09-25/functions/f/event-invoke-config?Qualifier=doesnotexist", "", 404, missingCode, "The function " + arn + "f:doesnotexist doesn't have an EventInvokeConfig", typeUpper},
	{"POST", "/2019-09-25/functions/f/event-invoke-config?Qualifier=1", `{"MaximumRetryAttempts":1}`, 404, missingCode, "The function " + arn + "f:1 doesn't have an EventInvokeConfig", typeUpper},
	{"DELETE", "/2019-09-25/functions/doesnotexist/event-invoke-config", "", 404, missingCode, "The function " + arn + "doesnotexist:$LATEST doesn't have an EventInvokeConfig", typeUpper},
	{"GET", "/2019-09-25/functions/doesnotexist/event-invoke-config/list", "", 404, missingCode, "The function doesn't exist.", typeUpper},
}

var urlScenes = []scene{
	{"POST", "/2021-10-31/functions/f/url", `{"AuthType":"NONE"}`, 409, conflictCode, "Failed to create function url config for [functionArn = " + arn + "f]. Error message:  FunctionUrlConfig exists for this Lambda function", typeMessage},
	{"POST", "/2021-10-31/functions/doesnotexist/url", `{"AuthType":"NONE"}`, 404, missingCode, "Function does not exist", typeUpper},
	{"POST", "/2021-10-31/functions/f/url?Qualifier=1", `{"AuthType":"NONE"}`, 400, checkCode, `1 validation error detected: Value '1' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)`, onlyMessage},
	{"POST", "/2021-10-31/functions/f/url?Qualifier=%24LATEST", `{"AuthType":"NONE"}`, 400, checkCode, `1 validation error detected: Value '$LATEST' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)`, onlyMessage},
	{"PUT", "/2021-10-31/functions/f/url", `{"InvokeMode":"UNKNOWN"}`, 400, checkCode, "1 validation error detected: Value 'UNKNOWN' at 'invokeMode' failed to satisfy constraint: Member must satisfy enum value set: [RESPONSE_STREAM, BUFFERED]", onlyMessage},
	{"GET", "/2021-10-31/functions/g/url", "", 404, missingCode, "The resource you requested does not exist.", typeUpper},
	{"DELETE", "/2021-10-31/functions/g/url", "", 404, missingCode, "The resource you requested does not exist.", typeUpper},
	{"GET", "/2021-10-31/functions/doesnotexist/urls", "", 404, missingCode, "Function not found: " + arn + "doesnotexist", typeUpper},
}

func tagPath(a string) string { return "/2017-03-31/tags/" + strings.ReplaceAll(a, ":", "%3A") }

var tagScenes = []scene{
	{"GET", tagPath("arn:aws:lambda:us-east-1:000000000000:event-source-mapping:00000000-0000-0000-0000-000000000000"), "", 404, missingCode, "Event source mapping not found: arn:aws:lambda:us-east-1:000000000000:event-source-mapping:00000000-0000-0000-0000-000000000000", typeUpper},
	{"GET", tagPath("arn:aws:lambda:us-east-1:000000000000:capacity-provider:c"), "", 404, missingCode, "Capacity provider not found: arn:aws:lambda:us-east-1:000000000000:capacity-provider:c", typeUpper},
	{"POST", tagPath(arn + "f:1"), `{"Tags":{"a":"b"}}`, 400, invalidCode, "Tags on function aliases and versions are not supported. Please specify a function ARN.", typeMessage},
	{"POST", tagPath(arn + "f"), `{"Tags":{}}`, 400, invalidCode, "An error occurred and the request cannot be processed.", typeMessage},
	{"POST", tagPath(arn + "f"), manyTags(), 400, invalidCode, "Number of tags exceeds resource tag limit.", typeMessage},
	{"DELETE", tagPath(arn + "f"), "", 400, checkCode, "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null", onlyMessage},
	{"GET", tagPath("arn:aws:something"), "", 400, checkCode, "1 validation error detected: Value 'arn:aws:something' at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:…", onlyMessage},
	{"GET", tagPath(arn + "doesnotexist"), "", 404, missingCode, "Function not found: " + arn + "doesnotexist", typeUpper},
}

func manyTags() string {
	m := map[string]string{}
	for i := range 51 {
		m[fmt.Sprint("k", i)] = "v"
	}
	b, err := json.Marshal(map[string]any{"Tags": m})
	if err != nil {
		return ""
	}
	return string(b)
}

var provisionedScenes = []scene{
	{"PUT", "/2019-09-30/functions/f/provisioned-concurrency", `{"ProvisionedConcurrentExecutions":1}`, 400, invalidCode, "The function resource provided must be an alias or a published version.", typeMessage},
	{"PUT", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=1", `{"ProvisionedConcurrentExecutions":0}`, 400, checkCode, "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 1", onlyMessage},
	{"PUT", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=%24LATEST", `{"ProvisionedConcurrentExecutions":1}`, 400, invalidCode, "Provisioned Concurrency Configs cannot be applied to unpublished function versions.", typeMessage},
	{"PUT", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=1", `{"ProvisionedConcurrentExecutions":5000}`, 400, invalidCode, "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000].", onlyMessage},
	{"PUT", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=1", `{"ProvisionedConcurrentExecutions":950}`, 400, invalidCode, "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].", onlyMessage},
	{"PUT", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=noalias", `{"ProvisionedConcurrentExecutions":1}`, 404, missingCode, "Cannot find alias arn: " + arn + "f:noalias", typeUpper},
	{"PUT", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=42", `{"ProvisionedConcurrentExecutions":1}`, 404, missingCode, "Function not found: " + arn + "f:42", typeUpper},
	{"GET", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=1", "", 404, "ProvisionedConcurrencyConfigNotFoundException", "No Provisioned Concurrency Config found for this function", typeMessage},
}

var mappingScenes = []scene{
	{"POST", "/2015-03-31/event-source-mappings", `{"FunctionName":"f"}`, 400, invalidCode, "Unrecognized event source.", typeMessage},
	{"POST", "/2015-03-31/event-source-mappings", `{"FunctionName":"f","SelfManagedEventSource":{"Endpoints":{"KAFKA_BOOTSTRAP_SERVERS":["kafka:1000"]}},"Topics":["topic"]}`, 400, invalidCode, "Required 'sourceAccessConfigurations' parameter is missing.", typeMessage},
	{"POST", "/2015-03-31/event-source-mappings", `{"FunctionName":"f","EventSourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/s"}`, 400, invalidCode, "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.", typeMessage},
	{"POST", "/2015-03-31/event-source-mappings", `{"FunctionName":"f","EventSourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/s","StartingPosition":"AT_TIMESTAMP"}`, 400, invalidCode, "Unsupported starting position for arn type: arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/s", typeMessage},
	{"POST", "/2015-03-31/event-source-mappings", `{"FunctionName":"f","EventSourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/s","StartingPosition":"invalid"}`, 400, checkCode, "1 validation error detected: Value 'invalid' at 'startingPosition' failed to satisfy constraint: Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]", onlyMessage},
	{"POST", "/2015-03-31/event-source-mappings", `{"FunctionName":"f","EventSourceArn":"arn:aws:sqs:us-east-1:000000000000:q","DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sqs:us-east-1:000000000000:d"}}}`, 400, invalidCode, "Unsupported DestinationConfig parameter for given event source mapping type.", typeMessage},
	{"POST", "/2015-03-31/event-source-mappings", `{"FunctionName":"doesnotexist","EventSourceArn":"arn:aws:sqs:us-east-1:000000000000:q"}`, 400, invalidCode, "Function does not exist", typeMessage},
	{"GET", "/2015-03-31/event-source-mappings/00000000-0000-0000-0000-000000000000", "", 404, missingCode, "The resource you requested does not exist.", typeUpper},
}

var invokeScenes = []scene{
	{"POST", fns + "doesnotexist/invocations", `{}`, 404, missingCode, "Function not found: " + arn + "doesnotexist", typeUpper},
	{"POST", fns + "f/invocations?Qualifier=1221", `{}`, 404, missingCode, "Function not found: " + arn + "f:1221", typeUpper},
	{"POST", fns + "f/invocations", "\x99\x87", 400, "InvalidRequestContentException", "Could not parse request body into json: Could not parse payload into json: Unexpected character ((CTRL-CHAR, code 153)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 1]", typeMessage},
	{"POST", fns + "f/invocations", strings.Repeat(" ", lambda.MaxEvent+1), 413, "RequestEntityTooLargeException", "6291557 byte payload is too large for the RequestResponse invocation type (limit 6291556 bytes)", onlyMessage},
}

var otherScenes = []scene{
	{"GET", "/2015-03-31/nothing", "", 404, "UnknownOperationException", "Unable to determine…", "Message"},
	{"PUT", "/2024-08-31/functions/f/recursion-config", `{"RecursiveLoop":"InvalidValue"}`, 400, checkCode, "1 validation error detected: Value 'InvalidValue' at 'recursiveLoop' failed to satisfy constraint: Member must satisfy enum value set: [Terminate, Allow]", onlyMessage},
	{"GET", "/2020-04-22/code-signing-configs/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Acode-signing-config%3Acsc-0123456789abcdef0", "", 404, missingCode, "The Lambda code signing configuration arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-0123456789abcdef0 can not be found.", ""},
	{"PUT", "/2020-06-30/functions/f/code-signing-config", `{"CodeSigningConfigArn":"arn:x"}`, 404, "CodeSigningConfigNotFoundException", "The code signing configuration cannot be found. Check that the provided configuration is not deleted: arn:x.", typeUpper},
	{"GET", "/2020-06-30/functions/csc-test-doesnotexist/code-signing-config", "", 404, missingCode, "Function not found: " + arn + "csc-test-doesnotexist", typeUpper},
}

func TestThrottlesAndMissingRuntimes(t *testing.T) {
	w := newWorld(t)
	w.create("busy", "")
	w.create("gone", "")
	w.play(t, []scene{
		{"POST", fns + "gone/invocations", `{}`, 502, "InvalidRuntimeException", "This machine has no ruby3.4…", typeMessage},
	})
	big := strings.Repeat(" ", lambda.MaxAsyncEvent) + "1"
	a := w.do("POST", fns+"busy/invocations", big, "X-Amz-Invocation-Type", "Event")
	if a.status != 413 || !strings.Contains(a.body, "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestStrangersLearnNothing(t *testing.T) {
	w := newWorld(t)
	w.create("f", "")
	for _, cred := range []aws.Credentials{{AccessKeyID: "AKIAXXXXXXXXXXXXXXXX", SecretAccessKey: secret}, {AccessKeyID: keyID, SecretAccessKey: "wrong"}} {
		for _, path := range []string{fns + "f", fns + "doesnotexist", "/2015-03-31/nothing"} {
			if a := w.as(cred, "lambda", "GET", path, ""); a.status != 403 || strings.Contains(a.body, "function") && strings.Contains(a.body, "arn:") {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
	}
}
