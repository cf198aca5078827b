package lambdaapi

import (
	"encoding/json"
	"strings"

	"kiln/lambda"
	"kiln/server/edge"
)

// Event source mappings are kept and answered; nothing polls their sources yet.

type mappingInput struct {
	FunctionName               *string
	EventSourceArn             *string
	StartingPosition           *string
	Enabled                    *bool
	BatchSize                  *int
	SourceAccessConfigurations []json.RawMessage
	SelfManagedEventSource     *struct{ Endpoints map[string][]string }
	Topics                     []string
	DestinationConfig          *wireDestinations
	rest                       map[string]json.RawMessage
}

// echoed are the members that are kept as they came.
var echoed = []string{"FilterCriteria", "MaximumBatchingWindowInSeconds", "ParallelizationFactor", "StartingPositionTimestamp", "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError",
	"MaximumRetryAttempts", "TumblingWindowInSeconds", "Topics", "Queues", "SourceAccessConfigurations", "SelfManagedEventSource", "FunctionResponseTypes", "AmazonManagedKafkaEventSourceConfig",
	"SelfManagedKafkaEventSourceConfig", "ScalingConfig", "DocumentDBEventSourceConfig", "DestinationConfig", "KMSKeyArn", "MetricsConfig", "ProvisionedPollerConfig", "BatchSize", "EventSourceArn", "StartingPosition"}

func decodeMapping(c *call) error {
	in := &mappingInput{}
	c.input = in
	if err := c.decode(in); err != nil {
		return err
	}
	if err := c.decode(&in.rest); err != nil {
		return err
	}
	if in.FunctionName == nil {
		return nil
	}
	return c.readFunction(*in.FunctionName)
}

// sourceService is the service of an event source's ARN.
func (in *mappingInput) sourceService() string {
	if in.EventSourceArn == nil {
		return ""
	}
	parts := strings.SplitN(*in.EventSourceArn, ":", 6)
	if len(parts) < 6 {
		return "?"
	}
	return parts[2]
}

func (in *mappingInput) check() error {
	var k checks
	if in.StartingPosition != nil {
		k.oneOf(*in.StartingPosition, "startingPosition", "LATEST", "AT_TIMESTAMP", "TRIM_HORIZON")
	}
	k.between(in.BatchSize, "batchSize", 1, 10_000)
	if err := k.err(); err != nil {
		return err
	}
	switch service := in.sourceService(); service {
	case "":
		if in.SelfManagedEventSource == nil {
			return invalidValue("Unrecognized event source.")
		}
		if len(in.SourceAccessConfigurations) == 0 {
			return invalidValue("Required 'sourceAccessConfigurations' parameter is missing.")
		}
	case "sqs":
		if in.DestinationConfig != nil {
			return invalidValue("Unsupported DestinationConfig parameter for given event source mapping type.")
		}
	case "dynamodb", "kinesis":
		if in.StartingPosition == nil {
			return invalidValue("1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.")
		}
		if service == "dynamodb" && *in.StartingPosition == "AT_TIMESTAMP" {
			return invalidValue("Unsupported starting position for arn type: %s", *in.EventSourceArn)
		}
	case "kafka", "mq", "rds":
	default:
		return invalidValue("Unrecognized event source.")
	}
	return nil
}

func createMapping(c *call) (any, error) {
	in := c.input.(*mappingInput)
	var k checks
	k.present(in.FunctionName != nil, "functionName")
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if _, err := c.api.Store.Target(c.ctx(), c.function, c.qualifier); err != nil {
		return nil, invalidOr(err, "Function does not exist")
	}
	if err := c.mappingTwice(in); err != nil {
		return nil, err
	}
	m := map[string]any{"UUID": edge.NewRequestID(), "FunctionArn": c.arn(), "BatchSize": defaultBatch(in.sourceService()), "MaximumBatchingWindowInSeconds": 0, "StateTransitionReason": "User action"}
	c.fillMapping(m, in, "Enabled")
	if err := c.keepMapping("lambda:CreateEventSourceMapping", m); err != nil {
		return nil, err
	}
	m["State"] = "Creating"
	return m, nil
}

func invalidOr(err error, text string) error {
	if lambda.KindOf(err) == lambda.NotFound {
		return invalidValue("%s", text)
	}
	return err
}

func defaultBatch(service string) int {
	if service == "sqs" {
		return 10
	}
	return 100
}

// fillMapping takes what the caller gave over what was there.
func (c *call) fillMapping(m map[string]any, in *mappingInput, state string) {
	for _, name := range echoed {
		if v, ok := in.rest[name]; ok && string(v) != "null" {
			m[name] = v
		}
	}
	m["State"] = state
	if in.Enabled != nil && !*in.Enabled {
		m["State"] = "Disabled"
	}
	m["LastModified"] = float64(c.api.Now().UnixMilli()) / 1000
	m["EventSourceMappingArn"] = "arn:aws:lambda:" + c.api.ARNs.Region + ":" + c.api.ARNs.AccountID + ":event-source-mapping:" + mappingID(m)
}

func mappingID(m map[string]any) string {
	id, _ := m["UUID"].(string)
	return id
}

func (c *call) keepMapping(action string, m map[string]any) error {
	return c.keepDocument(action, lambda.Document{Kind: lambda.DocEventSource, ID: mappingID(m), Function: c.function, Qualifier: c.qualifier}, m)
}

// mappingTwice refuses a second mapping of the same source to the same function.
func (c *call) mappingTwice(in *mappingInput) error {
	all, err := c.api.Store.Documents(c.ctx(), lambda.DocEventSource, c.function, "", 1000)
	if err != nil {
		return err
	}
	for _, d := range all {
		var other struct {
			EventSourceArn         *string
			FunctionArn            string
			SelfManagedEventSource *struct{ Endpoints map[string][]string }
			Topics                 []string
		}
		if err := json.Unmarshal(d.Body, &other); err != nil {
			return err
		}
		if other.FunctionArn != c.arn() {
			continue
		}
		switch {
		case in.EventSourceArn != nil && other.EventSourceArn != nil && *in.EventSourceArn == *other.EventSourceArn:
			return conflict(`The event source arn (" %s ") and function (" %s ") provided mapping already exists. Please update or delete the existing mapping with UUID %s`, *in.EventSourceArn, c.function, d.ID)
		case in.SelfManagedEventSource != nil && other.SelfManagedEventSource != nil && sameSource(in.SelfManagedEventSource.Endpoints, other.SelfManagedEventSource.Endpoints) && strings.Join(in.Topics, ",") == strings.Join(other.Topics, ","):
			return conflict(`An event source mapping with event source ("%s"), function ("%s"), topics ("%s") already exists. Please update or delete the existing mapping with UUID %s`,
				strings.Join(other.SelfManagedEventSource.Endpoints["KAFKA_BOOTSTRAP_SERVERS"], ","), c.arn(), strings.Join(in.Topics, ","), d.ID)
		}
	}
	return nil
}

func sameSource(a, b map[string][]string) bool {
	for _, s := range a["KAFKA_BOOTSTRAP_SERVERS"] {
		for _, o := range b["KAFKA_BOOTSTRAP_SERVERS"] {
			if s == o {
				return true
			}
		}
	}
	return false
}

// mapping is the one that the path names.
func (c *call) mapping() (map[string]any, error) {
	m := map[string]any{}
	d, err := c.api.Store.Document(c.ctx(), lambda.DocEventSource, c.path[0])
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, notFound("The resource you requested does not exist.")
	}
	if err != nil {
		return nil, err
	}
	c.function, c.qualifier = d.Function, d.Qualifier
	return m, json.Unmarshal(d.Body, &m)
}

func getMapping(c *call) (any, error) { return c.mapping() }

func updateMapping(c *call) (any, error) {
	m, err := c.mapping()
	if err != nil {
		return nil, err
	}
	in := &mappingInput{}
	if err := c.decode(in); err != nil {
		return nil, err
	}
	if err := c.decode(&in.rest); err != nil {
		return nil, err
	}
	if in.FunctionName != nil {
		if err := c.readFunction(*in.FunctionName); err != nil {
			return nil, err
		}
		m["FunctionArn"] = c.arn()
	}
	state, _ := m["State"].(string)
	if in.Enabled != nil && *in.Enabled {
		state = "Enabled"
	}
	c.fillMapping(m, in, state)
	return m, c.keepMapping("lambda:UpdateEventSourceMapping", m)
}

func deleteMapping(c *call) (any, error) {
	m, err := c.mapping()
	if err != nil {
		return nil, err
	}
	m["State"] = "Deleting"
	return m, c.api.Store.DeleteDocument(c.ctx(), c.who, "lambda:DeleteEventSourceMapping", lambda.DocEventSource, c.path[0])
}

func listMappings(c *call) (any, error) {
	if name := c.query.Get("FunctionName"); name != "" {
		if err := c.readFunction(name); err != nil {
			return nil, err
		}
	}
	all, next, err := c.documentPage(lambda.DocEventSource, c.function)
	if err != nil {
		return nil, err
	}
	out := struct {
		NextMarker          string `json:",omitempty"`
		EventSourceMappings []json.RawMessage
	}{next, []json.RawMessage{}}
	source := c.query.Get("EventSourceArn")
	for _, d := range all {
		var m struct{ EventSourceArn string }
		if err := json.Unmarshal(d.Body, &m); err != nil {
			return nil, err
		}
		if source == "" || source == m.EventSourceArn {
			out.EventSourceMappings = append(out.EventSourceMappings, d.Body)
		}
	}
	return out, nil
}
