package lambdaapi

import (
	"net/http"
	"net/url"
	"strings"

	"kiln/lambda"
	"kiln/server/edge"
)

// operation is one of the REST API. Its Row says what authorizes it; Target is the operation's name.
type operation struct {
	edge.Row
	name     string
	method   string
	date     string
	path     string // the rest of the path; {} is a parameter
	status   int    // of the answer
	function bool   // the first parameter is a function
	decode   func(*call) error
	run      func(*call) (any, error)
}

func onQualified(a lambda.ARNs, p edge.Param) string {
	return a.Function(p("Function"), p("Qualifier"))
}
func onFunction(a lambda.ARNs, p edge.Param) string { return a.Function(p("Function"), "") }
func onLayer(a lambda.ARNs, p edge.Param) string    { return a.LayerVersion(p("0"), "") }

func onLayerVersion(a lambda.ARNs, p edge.Param) string { return a.LayerVersion(p("0"), p("1")) }
func onLayerArn(_ lambda.ARNs, p edge.Param) string     { return p("Arn") }
func onPath(_ lambda.ARNs, p edge.Param) string         { return p("0") }

func onMapping(a lambda.ARNs, p edge.Param) string {
	return "arn:aws:lambda:" + a.Region + ":" + a.AccountID + ":event-source-mapping:" + p("0")
}

// op is an operation without a function in its path.
func op(name, method, date, path string, status int, resource func(lambda.ARNs, edge.Param) string, run func(*call) (any, error)) operation {
	return operation{Row: edge.Row{Target: name, Action: "lambda:" + name, Resource: resource}, name: name, method: method, date: date, path: path, status: status, run: run}
}

// fn is an operation on the function that its path names.
func fn(name, method, date, path string, status int, resource func(lambda.ARNs, edge.Param) string, run func(*call) (any, error)) operation {
	o := op(name, method, date, "functions/{}"+path, status, resource, run)
	o.function = true
	return o
}

func (o operation) as(action string) operation {
	o.Action = action
	return o
}

func (o operation) decoded(by func(*call) error) operation {
	o.decode = by
	return o
}

const (
	get  = http.MethodGet
	put  = http.MethodPut
	post = http.MethodPost
	del  = http.MethodDelete

	v2015 = "2015-03-31"
	v2017 = "2017-10-31"
	v2018 = "2018-10-31"
	v2019 = "2019-09-30"
	vConf = "2019-09-25"
	v2020 = "2020-04-22"
	v2021 = "2021-10-31"
	vTags = "2017-03-31"
)

var operations = []operation{
	op("CreateFunction", post, v2015, "functions", 201, onFunction, createFunction).decoded(decodeCreate),
	op("ListFunctions", get, v2015, "functions", 200, edge.OnAccount, listFunctions),
	fn("GetFunction", get, v2015, "", 200, onQualified, getFunction),
	fn("DeleteFunction", del, v2015, "", 204, onQualified, deleteFunction),
	fn("GetFunctionConfiguration", get, v2015, "/configuration", 200, onQualified, getConfiguration),
	fn("UpdateFunctionConfiguration", put, v2015, "/configuration", 200, onFunction, updateConfiguration),
	fn("UpdateFunctionCode", put, v2015, "/code", 200, onFunction, updateCode),
	fn("PublishVersion", post, v2015, "/versions", 201, onFunction, publishVersion),
	fn("ListVersionsByFunction", get, v2015, "/versions", 200, onFunction, listVersions),
	fn("CreateAlias", post, v2015, "/aliases", 201, onFunction, createAlias),
	fn("ListAliases", get, v2015, "/aliases", 200, onFunction, listAliases),
	fn("GetAlias", get, v2015, "/aliases/{}", 200, onFunction, getAlias),
	fn("UpdateAlias", put, v2015, "/aliases/{}", 200, onFunction, updateAlias),
	fn("DeleteAlias", del, v2015, "/aliases/{}", 204, onFunction, deleteAlias),
	fn("Invoke", post, v2015, "/invocations", 200, onQualified, invoke).as("lambda:InvokeFunction"),
	fn("InvokeAsync", post, "2014-11-13", "/invoke-async", 202, onQualified, invokeAsync).as("lambda:InvokeFunction"),
	fn("InvokeWithResponseStream", post, "2021-11-15", "/response-streaming-invocations", 200, onQualified, invokeStream).as("lambda:InvokeFunction"),
	fn("AddPermission", post, v2015, "/policy", 201, onQualified, addPermission),
	fn("GetPolicy", get, v2015, "/policy", 200, onQualified, getPolicy),
	fn("RemovePermission", del, v2015, "/policy/{}", 204, onQualified, removePermission),
	fn("PutFunctionConcurrency", put, v2017, "/concurrency", 200, onFunction, putConcurrency),
	fn("DeleteFunctionConcurrency", del, v2017, "/concurrency", 204, onFunction, deleteConcurrency),
	fn("GetFunctionConcurrency", get, v2019, "/concurrency", 200, onFunction, getConcurrency),
	fn("PutProvisionedConcurrencyConfig", put, v2019, "/provisioned-concurrency", 202, onQualified, putProvisioned),
	fn("GetProvisionedConcurrencyConfig", get, v2019, "/provisioned-concurrency", 200, onQualified, getProvisioned),
	fn("DeleteProvisionedConcurrencyConfig", del, v2019, "/provisioned-concurrency", 204, onQualified, deleteProvisioned),
	fn("PutFunctionEventInvokeConfig", put, vConf, "/event-invoke-config", 200, onQualified, putAsync),
	fn("UpdateFunctionEventInvokeConfig", post, vConf, "/event-invoke-config", 200, onQualified, updateAsync),
	fn("GetFunctionEventInvokeConfig", get, vConf, "/event-invoke-config", 200, onQualified, getAsync),
	fn("DeleteFunctionEventInvokeConfig", del, vConf, "/event-invoke-config", 204, onQualified, deleteAsync),
	fn("ListFunctionEventInvokeConfigs", get, vConf, "/event-invoke-config/list", 200, onFunction, listAsync),
	fn("CreateFunctionUrlConfig", post, v2021, "/url", 201, onQualified, createURL),
	fn("GetFunctionUrlConfig", get, v2021, "/url", 200, onQualified, getURL),
	fn("UpdateFunctionUrlConfig", put, v2021, "/url", 200, onQualified, updateURL),
	fn("DeleteFunctionUrlConfig", del, v2021, "/url", 204, onQualified, deleteURL),
	fn("ListFunctionUrlConfigs", get, v2021, "/urls", 200, onFunction, listURLs),
	fn("PutRuntimeManagementConfig", put, "2021-07-20", "/runtime-management-config", 200, onQualified, putRuntimeManagement),
	fn("GetRuntimeManagementConfig", get, "2021-07-20", "/runtime-management-config", 200, onQualified, getRuntimeManagement),
	fn("PutFunctionRecursionConfig", put, "2024-08-31", "/recursion-config", 200, onFunction, putRecursion),
	fn("GetFunctionRecursionConfig", get, "2024-08-31", "/recursion-config", 200, onFunction, getRecursion),
	fn("PutFunctionCodeSigningConfig", put, "2020-06-30", "/code-signing-config", 200, onFunction, putFunctionSigning),
	fn("GetFunctionCodeSigningConfig", get, "2020-06-30", "/code-signing-config", 200, onFunction, getFunctionSigning),
	fn("DeleteFunctionCodeSigningConfig", del, "2020-06-30", "/code-signing-config", 204, onFunction, deleteFunctionSigning),
	op("CreateCodeSigningConfig", post, v2020, "code-signing-configs", 201, edge.OnAccount, createSigning),
	op("ListCodeSigningConfigs", get, v2020, "code-signing-configs", 200, edge.OnAccount, listSigning),
	op("GetCodeSigningConfig", get, v2020, "code-signing-configs/{}", 200, onPath, getSigning),
	op("UpdateCodeSigningConfig", put, v2020, "code-signing-configs/{}", 200, onPath, updateSigning),
	op("DeleteCodeSigningConfig", del, v2020, "code-signing-configs/{}", 204, onPath, deleteSigning),
	op("ListFunctionsByCodeSigningConfig", get, v2020, "code-signing-configs/{}/functions", 200, onPath, listSigned),
	op("ListTags", get, vTags, "tags/{}", 200, onPath, listTags).decoded(decodeTagged),
	op("TagResource", post, vTags, "tags/{}", 204, onPath, tagResource).decoded(decodeTagged),
	op("UntagResource", del, vTags, "tags/{}", 204, onPath, untagResource).decoded(decodeTagged),
	op("ListLayers", get, v2018, "layers", 200, edge.OnAccount, listLayers),
	op("PublishLayerVersion", post, v2018, "layers/{}/versions", 201, onLayer, publishLayer),
	op("ListLayerVersions", get, v2018, "layers/{}/versions", 200, edge.OnAccount, listLayerVersions),
	op("GetLayerVersion", get, v2018, "layers/{}/versions/{}", 200, onLayerVersion, getLayerVersion),
	op("GetLayerVersionByArn", get, v2018, "layers?find=LayerVersion", 200, onLayerArn, getLayerVersionByArn).as("lambda:GetLayerVersion"),
	op("DeleteLayerVersion", del, v2018, "layers/{}/versions/{}", 204, onLayerVersion, deleteLayerVersion),
	op("AddLayerVersionPermission", post, v2018, "layers/{}/versions/{}/policy", 201, onLayerVersion, addLayerPermission),
	op("GetLayerVersionPolicy", get, v2018, "layers/{}/versions/{}/policy", 200, onLayerVersion, getLayerPolicy),
	op("RemoveLayerVersionPermission", del, v2018, "layers/{}/versions/{}/policy/{}", 204, onLayerVersion, removeLayerPermission),
	op("GetAccountSettings", get, "2016-08-19", "account-settings", 200, edge.OnAccount, getAccountSettings),
	op("CreateEventSourceMapping", post, v2015, "event-source-mappings", 202, edge.OnAccount, createMapping).decoded(decodeMapping),
	op("ListEventSourceMappings", get, v2015, "event-source-mappings", 200, edge.OnAccount, listMappings),
	op("GetEventSourceMapping", get, v2015, "event-source-mappings/{}", 200, onMapping, getMapping),
	op("UpdateEventSourceMapping", put, v2015, "event-source-mappings/{}", 202, onMapping, updateMapping),
	op("DeleteEventSourceMapping", del, v2015, "event-source-mappings/{}", 202, onMapping, deleteMapping),
}

// Rows are what authorizes each operation of every service here.
func Rows() []edge.Row {
	var rows []edge.Row
	for _, o := range operations {
		rows = append(rows, o.Row)
	}
	for _, o := range logOperations {
		rows = append(rows, o.Row)
	}
	return append(rows, callerIdentity)
}

// segments are the paths of the operations, taken apart.
var segments = func() [][]string {
	all := make([][]string, len(operations))
	for i, o := range operations {
		path, _, _ := strings.Cut(o.path, "?")
		all[i] = append([]string{o.date}, strings.Split(path, "/")...)
	}
	return all
}()

const invokePrefix, invokeSuffix = "/" + v2015 + "/functions/", "/invocations"

var invokeOperation = func() *operation {
	for i := range operations {
		if operations[i].name == "Invoke" {
			return &operations[i]
		}
	}
	return nil
}()

// route finds the operation and its path parameters in the path as it was sent.
func (c *call) route() error {
	path := c.r.URL.EscapedPath()
	if c.r.Method == http.MethodPost && strings.HasPrefix(path, invokePrefix) && strings.HasSuffix(path, invokeSuffix) && len(path) > len(invokePrefix)+len(invokeSuffix) {
		if name := path[len(invokePrefix) : len(path)-len(invokeSuffix)]; strings.IndexByte(name, '/') < 0 {
			c.op = invokeOperation
			return c.take(0, name)
		}
	}
	sent := strings.Split(strings.Trim(path, "/"), "/")
	byArn := strings.Contains(c.r.URL.RawQuery, "find=LayerVersion")
	for i := range operations {
		o := &operations[i]
		if o.method == c.r.Method && byArn == strings.HasSuffix(o.path, "?find=LayerVersion") && fits(segments[i], sent) {
			c.op = o
			return c.takeAll(segments[i], sent)
		}
	}
	return unknownOperation(path)
}

func fits(pattern, sent []string) bool {
	if len(pattern) != len(sent) {
		return false
	}
	for i, p := range pattern {
		if p != sent[i] && (p != "{}" || sent[i] == "") {
			return false
		}
	}
	return true
}

func (c *call) takeAll(pattern, sent []string) error {
	n := 0
	for i, p := range pattern {
		if p != "{}" {
			continue
		}
		if err := c.take(n, sent[i]); err != nil {
			return err
		}
		n++
	}
	return nil
}

func (c *call) take(i int, segment string) error {
	s, ok := unescape(segment)
	if !ok {
		return unknownOperation(segment)
	}
	c.path[i] = s
	return nil
}

// serveLambda answers one call of the REST API.
func (c *call) serveLambda() error {
	if err := c.route(); err != nil {
		if ierr := c.identify(); ierr != nil { // strangers learn nothing of the paths
			return ierr
		}
		return err
	}
	if err := c.identify(); err != nil {
		return err
	}
	c.query = noQuery
	if c.r.URL.RawQuery != "" {
		q, err := url.ParseQuery(c.r.URL.RawQuery)
		if err != nil {
			return validation("The query string cannot be read.")
		}
		c.query = q
	}
	if c.op.function {
		if err := c.readFunction(c.path[0]); err != nil {
			return err
		}
	}
	if c.op.decode != nil {
		if err := c.op.decode(c); err != nil {
			return err
		}
	}
	if err := c.authorize(c.op.Action, c.op.Resource(c.api.ARNs, c.param), nil); err != nil {
		return err
	}
	out, err := c.op.run(c)
	if err != nil || c.answered() {
		return err
	}
	return c.answer(c.op.status, out)
}

var noQuery = url.Values{}
