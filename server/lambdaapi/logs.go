package lambdaapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"kiln/lambda"
	"kiln/server/edge"
)

// logOperation is one of CloudWatch Logs; its target is the operation's name.
type logOperation struct {
	edge.Row
	run func(*call, *logInput) (any, error)
}

func logOp(name string, resource func(lambda.ARNs, edge.Param) string, run func(*call, *logInput) (any, error)) logOperation {
	return logOperation{edge.Row{Target: "logs." + name, Action: "logs:" + name, Resource: resource}, run}
}

func onGroup(a lambda.ARNs, p edge.Param) string {
	return "arn:aws:logs:" + a.Region + ":" + a.AccountID + ":log-group:" + p("Group") + ":*"
}

var logOperations = []logOperation{
	logOp("DescribeLogGroups", func(a lambda.ARNs, _ edge.Param) string {
		return "arn:aws:logs:" + a.Region + ":" + a.AccountID + ":log-group:*"
	}, describeGroups),
	logOp("DescribeLogStreams", onGroup, describeStreams),
	logOp("GetLogEvents", onGroup, getLogEvents),
	logOp("FilterLogEvents", onGroup, filterLogEvents),
	logOp("DeleteLogGroup", onGroup, deleteLogGroup),
	logOp("PutRetentionPolicy", onGroup, putRetention),
	logOp("DeleteRetentionPolicy", onGroup, deleteRetention),
	logOp("ListTagsForResource", edge.OnAccount, func(*call, *logInput) (any, error) {
		return struct {
			Tags struct{} `json:"tags"`
		}{}, nil
	}),
	logOp("ListTagsLogGroup", edge.OnAccount, func(*call, *logInput) (any, error) {
		return struct {
			Tags struct{} `json:"tags"`
		}{}, nil
	}),
	logOp("CreateLogGroup", onGroup, createLogGroup),
	logOp("CreateLogStream", onGroup, func(*call, *logInput) (any, error) { return nil, nil }),
}

// logInput is what the operations read, together.
type logInput struct {
	LogGroupName         string
	LogGroupIdentifier   string
	LogGroupNamePrefix   string
	LogGroupNamePattern  string
	LogStreamName        string
	LogStreamNamePrefix  string
	LogStreamNames       []string
	OrderBy              string
	Descending           bool
	StartTime, EndTime   *int64
	StartFromHead        bool
	Limit                *int
	NextToken            string
	FilterPattern        string
	RetentionInDays      int
	IncludeLinkedAccount bool
}

func logFailure(code, message string) *failure {
	return &failure{status: 400, code: code, message: message, form: bareLower}
}

func noGroup() *failure {
	return logFailure("ResourceNotFoundException", "The specified log group does not exist.")
}

// serveLogs answers one call of the JSON 1.1 protocol.
func (c *call) serveLogs() error {
	if err := c.identify(); err != nil {
		return err
	}
	_, name, _ := strings.Cut(c.r.Header.Get("X-Amz-Target"), ".")
	i := slices.IndexFunc(logOperations, func(o logOperation) bool { return o.Target == "logs."+name })
	if i < 0 {
		return logFailure("UnknownOperationException", "The operation "+name+" is not known here.")
	}
	in := &logInput{}
	if err := c.decode(in); err != nil {
		return err
	}
	in.group()
	o := &logOperations[i]
	if err := c.authorize(o.Action, o.Resource(c.api.ARNs, func(string) string { return in.LogGroupName }), nil); err != nil {
		return err
	}
	out, err := o.run(c, in)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if out == nil {
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	b, err := json.Marshal(out)
	if err != nil {
		return err
	}
	_, _ = c.w.Write(b) // the client may have gone
	return nil
}

// group takes the group's name from its ARN.
func (in *logInput) group() {
	id := in.LogGroupIdentifier
	if in.LogGroupName != "" || id == "" {
		return
	}
	if _, name, ok := strings.Cut(id, ":log-group:"); ok {
		id = strings.TrimSuffix(name, ":*")
	}
	in.LogGroupName = id
}

func writeJSONFailure(f *failure, w http.ResponseWriter) {
	b, err := json.Marshal(struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{f.code, f.message})
	if err != nil {
		f.status = http.StatusInternalServerError
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-amz-json-1.1")
	h.Set("X-Amzn-Errortype", f.code)
	w.WriteHeader(f.status)
	_, _ = w.Write(b)
}

// functionOf is the function of the group that the call names.
func (c *call) functionOf(in *logInput) (*lambda.Function, error) {
	if in.LogGroupName == "" {
		return nil, logFailure("InvalidParameterException", "1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: Member must not be null")
	}
	name := lambda.FunctionOfLogGroup(in.LogGroupName)
	if name == "" {
		return nil, noGroup()
	}
	f, err := c.api.Store.Function(c.ctx(), name)
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, noGroup()
	}
	return f, err
}

func (in *logInput) limit(usual, most int) int {
	if in.Limit == nil {
		return usual
	}
	return min(max(*in.Limit, 1), most)
}

const groupPrefix = "/aws/lambda/"

type wireGroup struct {
	LogGroupName      string `json:"logGroupName"`
	CreationTime      int64  `json:"creationTime"`
	MetricFilterCount int    `json:"metricFilterCount"`
	RetentionInDays   *int   `json:"retentionInDays,omitempty"`
	Arn               string `json:"arn"`
	LogGroupArn       string `json:"logGroupArn"`
	StoredBytes       int64  `json:"storedBytes"`
	LogGroupClass     string `json:"logGroupClass"`
}

func describeGroups(c *call, in *logInput) (any, error) {
	prefix, ok := functionPrefix(in.LogGroupNamePrefix)
	out := struct {
		LogGroups []wireGroup `json:"logGroups"`
		NextToken string      `json:"nextToken,omitempty"`
	}{LogGroups: []wireGroup{}}
	if !ok {
		return out, nil
	}
	after := ""
	if in.NextToken != "" {
		if after, ok = decodeMarker(in.NextToken); !ok {
			return nil, logFailure("InvalidParameterException", "The specified nextToken is invalid.")
		}
	} else if prefix != "" { // names sort behind their prefix; the one that is the prefix itself is read too
		after = prefix[:len(prefix)-1]
	}
	limit := in.limit(50, 50)
	for len(out.LogGroups) <= limit {
		all, err := c.api.Store.Functions(c.ctx(), lambda.FunctionFilter{After: after, Limit: 200})
		if err != nil {
			return nil, err
		}
		for _, f := range all {
			if strings.HasPrefix(f.Name, prefix) && strings.Contains(groupPrefix+f.Name, in.LogGroupNamePattern) && len(out.LogGroups) <= limit {
				g, err := c.wireGroup(f)
				if err != nil {
					return nil, err
				}
				out.LogGroups = append(out.LogGroups, g)
			}
		}
		if len(all) < 200 {
			break
		}
		after = all[len(all)-1].Name
	}
	if len(out.LogGroups) > limit {
		out.LogGroups = out.LogGroups[:limit]
		out.NextToken = encodeMarker(strings.TrimPrefix(out.LogGroups[limit-1].LogGroupName, groupPrefix))
	}
	return out, nil
}

// functionPrefix is what the functions' names begin with; false when no group of a function can match.
func functionPrefix(group string) (string, bool) {
	if strings.HasPrefix(groupPrefix, group) {
		return "", true
	}
	return strings.CutPrefix(group, groupPrefix)
}

func (c *call) wireGroup(f *lambda.Function) (wireGroup, error) {
	name := groupPrefix + f.Name
	arn := "arn:aws:logs:" + c.api.ARNs.Region + ":" + c.api.ARNs.AccountID + ":log-group:" + name
	days, err := c.api.Store.LogRetention(c.ctx(), f.Name)
	return wireGroup{LogGroupName: name, CreationTime: f.CreatedAt.UnixMilli(), RetentionInDays: days, Arn: arn + ":*", LogGroupArn: arn, LogGroupClass: "STANDARD"}, err
}

type wireStream struct {
	LogStreamName       string `json:"logStreamName"`
	CreationTime        int64  `json:"creationTime"`
	FirstEventTimestamp int64  `json:"firstEventTimestamp"`
	LastEventTimestamp  int64  `json:"lastEventTimestamp"`
	LastIngestionTime   int64  `json:"lastIngestionTime"`
	UploadSequenceToken string `json:"uploadSequenceToken"`
	Arn                 string `json:"arn"`
	StoredBytes         int64  `json:"storedBytes"`
}

const streamsBack = 30 * 24 * time.Hour // how far back streams are listed

func describeStreams(c *call, in *logInput) (any, error) {
	f, err := c.functionOf(in)
	if err != nil {
		return nil, err
	}
	after := ""
	if in.NextToken != "" {
		var ok bool
		if after, ok = decodeMarker(in.NextToken); !ok {
			return nil, logFailure("InvalidParameterException", "The specified nextToken is invalid.")
		}
	}
	limit := in.limit(50, 50)
	byTime := in.OrderBy == "LastEventTime" || in.Descending
	want := limit + 1
	if byTime {
		want = 1000 // the newest of them are chosen here
	}
	all, err := c.api.Store.LogStreams(c.ctx(), f.ID, in.LogStreamNamePrefix, after, c.api.Now().Add(-streamsBack), want)
	if err != nil {
		return nil, err
	}
	if byTime {
		slices.SortFunc(all, func(a, b lambda.LogStream) int { return b.Last.Compare(a.Last) })
		if !in.Descending {
			slices.Reverse(all)
		}
		all = all[:min(len(all), limit)]
	}
	all, next := page(all, limit, func(s lambda.LogStream) string { return s.Name })
	out := struct {
		LogStreams []wireStream `json:"logStreams"`
		NextToken  string       `json:"nextToken,omitempty"`
	}{[]wireStream{}, next}
	for _, s := range all {
		out.LogStreams = append(out.LogStreams, wireStream{LogStreamName: s.Name, CreationTime: s.First.UnixMilli(), FirstEventTimestamp: s.First.UnixMilli(),
			LastEventTimestamp: s.Last.UnixMilli(), LastIngestionTime: s.Last.UnixMilli(), UploadSequenceToken: "1",
			Arn: "arn:aws:logs:" + c.api.ARNs.Region + ":" + c.api.ARNs.AccountID + ":log-group:" + in.LogGroupName + ":log-stream:" + s.Name})
	}
	return out, nil
}

func deleteLogGroup(c *call, in *logInput) (any, error) {
	f, err := c.functionOf(in)
	if err != nil {
		return nil, err
	}
	return nil, c.api.Store.DeleteLogs(c.ctx(), c.who, f.Name)
}

// createLogGroup: groups come with their functions, so that it is there already.
func createLogGroup(c *call, in *logInput) (any, error) {
	if _, err := c.functionOf(in); err != nil {
		return nil, logFailure("InvalidParameterException", "Log groups here belong to functions: /aws/lambda/<function>.")
	}
	return nil, logFailure("ResourceAlreadyExistsException", "The specified log group already exists")
}

var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

func putRetention(c *call, in *logInput) (any, error) {
	f, err := c.functionOf(in)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(retentions, in.RetentionInDays) {
		return nil, logFailure("InvalidParameterException", fmt.Sprintf("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %v", in.RetentionInDays, retentions))
	}
	return nil, c.api.Store.SetLogRetention(c.ctx(), c.who, f.Name, &in.RetentionInDays)
}

func deleteRetention(c *call, in *logInput) (any, error) {
	f, err := c.functionOf(in)
	if err != nil {
		return nil, err
	}
	return nil, c.api.Store.SetLogRetention(c.ctx(), c.who, f.Name, nil)
}
