package lambdaapi

import (
	"encoding/json"

	"kiln/lambda"
)

// What is kept and answered as it came. Each has its kind of document.

func (c *call) snapStart(function string) (string, error) {
	d, err := c.api.Store.Document(c.ctx(), lambda.DocSnapStart, function)
	if lambda.KindOf(err) == lambda.NotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return snapOfDocument(d), nil
}

func snapOfDocument(d *lambda.Document) string {
	var in struct{ ApplyOn string }
	if err := json.Unmarshal(d.Body, &in); err != nil {
		return ""
	}
	return in.ApplyOn
}

// snapStarts is that of every function that has one.
func (c *call) snapStarts() (map[string]string, error) {
	all, err := c.api.Store.Documents(c.ctx(), lambda.DocSnapStart, "", "", 1000)
	out := map[string]string{}
	for i := range all {
		out[all[i].ID] = snapOfDocument(&all[i])
	}
	return out, err
}

func (c *call) keepSnapStart(applyOn *string) error {
	if applyOn == nil {
		return nil
	}
	return c.keepDocument("lambda:UpdateFunctionConfiguration", lambda.Document{Kind: lambda.DocSnapStart, ID: c.function, Function: c.function}, struct{ ApplyOn string }{*applyOn})
}

func (c *call) keepDocument(action string, d lambda.Document, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	d.Body = b
	return c.api.Store.PutDocument(c.ctx(), c.who, action, d)
}

// readDocument fills into; missing is answered when there is none.
func (c *call) readDocument(kind, id string, into any, missing error) error {
	d, err := c.api.Store.Document(c.ctx(), kind, id)
	if lambda.KindOf(err) == lambda.NotFound {
		return missing
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(d.Body, into)
}

// ---- provisioned concurrency ----

type wireProvisioned struct {
	FunctionArn                              string `json:",omitempty"`
	RequestedProvisionedConcurrentExecutions int
	AvailableProvisionedConcurrentExecutions int
	AllocatedProvisionedConcurrentExecutions int
	Status                                   string
	LastModified                             string
}

func (c *call) provisionedID() string { return c.function + ":" + c.qualifier }

func noProvisioned() *failure {
	return &failure{status: 404, code: "ProvisionedConcurrencyConfigNotFoundException", message: "No Provisioned Concurrency Config found for this function"}
}

// provisionable holds the qualifier to a version or an alias that exists.
func (c *call) provisionable() error {
	switch {
	case c.qualifier == lambda.Latest:
		return invalidValue("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
	case c.qualifier == "":
		return invalidValue("The function resource provided must be an alias or a published version.")
	}
	if !isNumber(c.qualifier) {
		_, err := c.api.Store.Alias(c.ctx(), c.function, c.qualifier)
		return c.aliasOf(err, c.qualifier)
	}
	_, err := c.api.Store.Version(c.ctx(), c.function, numberOf(c.qualifier))
	return err
}

func putProvisioned(c *call) (any, error) {
	var in struct{ ProvisionedConcurrentExecutions *int }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var k checks
	k.present(in.ProvisionedConcurrentExecutions != nil, "provisionedConcurrentExecutions")
	k.between(in.ProvisionedConcurrentExecutions, "provisionedConcurrentExecutions", 1, 1<<30)
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := c.provisionable(); err != nil {
		return nil, err
	}
	if err := c.provisionConflict(); err != nil {
		return nil, err
	}
	f, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return nil, err
	}
	n := *in.ProvisionedConcurrentExecutions
	if f.Reserved != nil && n > *f.Reserved {
		return nil, invalidValue("Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function")
	}
	if err := c.provisionRoom(f, n); err != nil {
		return nil, err
	}
	kept := wireProvisioned{RequestedProvisionedConcurrentExecutions: n, AvailableProvisionedConcurrentExecutions: n, AllocatedProvisionedConcurrentExecutions: n, Status: "READY", LastModified: stampOf(c.api.Now())}
	err = c.keepDocument("lambda:PutProvisionedConcurrencyConfig", lambda.Document{Kind: lambda.DocProvisioned, ID: c.provisionedID(), Function: c.function, Qualifier: c.qualifier}, kept)
	kept.Status, kept.AvailableProvisionedConcurrentExecutions, kept.AllocatedProvisionedConcurrentExecutions = "IN_PROGRESS", 0, 0
	return kept, err
}

func (c *call) provisionRoom(f *lambda.Function, n int) error {
	if f.Reserved != nil {
		return nil
	}
	account, reserved, err := c.api.Store.Concurrency(c.ctx())
	if err != nil {
		return err
	}
	free := account - reserved
	text := ""
	if n > free {
		text = "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [" + numberText(int64(free)) + "]."
	} else if free-n < lambda.MinUnreserved {
		text = "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [" + numberText(lambda.MinUnreserved) + "]."
	}
	if text == "" {
		return nil
	}
	return &failure{status: 400, code: "InvalidParameterValueException", message: text, form: bareLower}
}

// provisionConflict refuses a version that an alias has provisioned already, and the other way round.
func (c *call) provisionConflict() error {
	all, err := c.api.Store.Documents(c.ctx(), lambda.DocProvisioned, c.function, "", 1000)
	if err != nil {
		return err
	}
	mine, err := c.resolve()
	if err != nil {
		return err
	}
	for _, d := range all {
		other := d.Qualifier
		if other == c.qualifier {
			continue
		}
		if !isNumber(other) {
			a, err := c.api.Store.Alias(c.ctx(), c.function, other)
			if err != nil {
				continue // the alias is gone, its provision with it
			}
			other = a.Version
		}
		if other != mine {
			continue
		}
		if isNumber(c.qualifier) {
			return conflict("Version is pointed by a Provisioned Concurrency alias")
		}
		return conflict("Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version")
	}
	return nil
}

func (c *call) provisionedTotal() (int, error) {
	all, err := c.api.Store.Documents(c.ctx(), lambda.DocProvisioned, c.function, "", 1000)
	total := 0
	for _, d := range all {
		var p wireProvisioned
		if err := json.Unmarshal(d.Body, &p); err != nil {
			return 0, err
		}
		total += p.RequestedProvisionedConcurrentExecutions
	}
	return total, err
}

func getProvisioned(c *call) (any, error) {
	if c.query.Get("List") == "ALL" {
		return listProvisioned(c)
	}
	if err := c.provisionable(); err != nil {
		return nil, err
	}
	var p wireProvisioned
	return &p, c.readDocument(lambda.DocProvisioned, c.provisionedID(), &p, noProvisioned())
}

func listProvisioned(c *call) (any, error) {
	limit, err := c.limit(50)
	if err != nil {
		return nil, err
	}
	after, err := c.marker()
	if err != nil {
		return nil, err
	}
	if _, err := c.api.Store.Function(c.ctx(), c.function); err != nil {
		return nil, err
	}
	all, err := c.api.Store.Documents(c.ctx(), lambda.DocProvisioned, c.function, after, limit+1)
	if err != nil {
		return nil, err
	}
	all, next := page(all, limit, func(d lambda.Document) string { return d.ID })
	out := struct {
		NextMarker                    string `json:",omitempty"`
		ProvisionedConcurrencyConfigs []wireProvisioned
	}{next, []wireProvisioned{}}
	for _, d := range all {
		p := wireProvisioned{}
		if err := json.Unmarshal(d.Body, &p); err != nil {
			return nil, err
		}
		p.FunctionArn = c.api.ARNs.Function(c.function, d.Qualifier)
		out.ProvisionedConcurrencyConfigs = append(out.ProvisionedConcurrencyConfigs, p)
	}
	return out, nil
}

func deleteProvisioned(c *call) (any, error) {
	err := c.api.Store.DeleteDocument(c.ctx(), c.who, "lambda:DeleteProvisionedConcurrencyConfig", lambda.DocProvisioned, c.provisionedID())
	if lambda.KindOf(err) == lambda.NotFound {
		err = nil // AWS answers as if there had been one
	}
	return nil, err
}

// ---- runtime management and recursion ----

type wireRuntimeManagement struct {
	UpdateRuntimeOn   string
	FunctionArn       string
	RuntimeVersionArn *string
}

func putRuntimeManagement(c *call) (any, error) {
	var in struct {
		UpdateRuntimeOn   string
		RuntimeVersionArn *string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var k checks
	k.oneOf(in.UpdateRuntimeOn, "updateRuntimeOn", "Auto", "Manual", "FunctionUpdate")
	if err := k.err(); err != nil {
		return nil, err
	}
	if _, err := c.resolve(); err != nil {
		return nil, err
	}
	out := wireRuntimeManagement{in.UpdateRuntimeOn, c.arn(), in.RuntimeVersionArn}
	return out, c.keepDocument("lambda:PutRuntimeManagementConfig", lambda.Document{Kind: lambda.DocRuntimeUpdate, ID: c.provisionedID(), Function: c.function, Qualifier: c.qualifier}, out)
}

func getRuntimeManagement(c *call) (any, error) {
	if _, err := c.api.Store.Function(c.ctx(), c.function); err != nil {
		return nil, err
	}
	if _, err := c.resolve(); err != nil {
		return nil, err
	}
	out := wireRuntimeManagement{UpdateRuntimeOn: "Auto", FunctionArn: c.arn()}
	return &out, c.readDocument(lambda.DocRuntimeUpdate, c.provisionedID(), &out, nil)
}

type wireRecursion struct{ RecursiveLoop string }

func putRecursion(c *call) (any, error) {
	var in wireRecursion
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.unqualified(); err != nil {
		return nil, err
	}
	var k checks
	k.oneOf(in.RecursiveLoop, "recursiveLoop", "Terminate", "Allow")
	if err := k.err(); err != nil {
		return nil, err
	}
	return in, c.keepDocument("lambda:PutFunctionRecursionConfig", lambda.Document{Kind: lambda.DocRecursion, ID: c.function, Function: c.function}, in)
}

func getRecursion(c *call) (any, error) {
	if err := c.unqualified(); err != nil {
		return nil, err
	}
	if _, err := c.api.Store.Function(c.ctx(), c.function); err != nil {
		return nil, err
	}
	out := wireRecursion{"Terminate"}
	return &out, c.readDocument(lambda.DocRecursion, c.function, &out, nil)
}
