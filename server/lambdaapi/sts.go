package lambdaapi

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"kiln/iam"
	"kiln/server/edge"
)

// callerIdentity is open to everybody with a valid signature, as at AWS.
var callerIdentity = edge.Row{Target: "GetCallerIdentity", Open: true}

// serveSTS answers the query protocol: which account and principal a key belongs to.
func (c *call) serveSTS() error {
	if err := c.identify(); err != nil {
		return err
	}
	form, err := url.ParseQuery(string(c.body))
	if err != nil || c.r.Method == http.MethodGet {
		form = c.r.URL.Query()
	}
	if action := form.Get("Action"); action != "GetCallerIdentity" {
		return &failure{status: 400, code: "InvalidAction", message: "Could not find operation " + action + " for version " + form.Get("Version")}
	}
	type result struct{ Arn, UserId, Account string }
	out := struct {
		XMLName                 xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
		GetCallerIdentityResult result
		RequestID               string `xml:"ResponseMetadata>RequestId"`
	}{GetCallerIdentityResult: result{c.who.ARN, c.userID(), c.api.ARNs.AccountID}, RequestID: c.requestID}
	b, err := xml.Marshal(out)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/xml")
	_, _ = c.w.Write(b) // the client may have gone
	return nil
}

func (c *call) userID() string {
	switch c.who.Kind {
	case iam.KindRoot:
		return c.api.ARNs.AccountID
	case iam.KindUser:
		return fmt.Sprintf("AIDA%016d", c.who.UserID)
	}
	return c.id.KeyID + ":" + c.who.ARN[strings.LastIndexByte(c.who.ARN, '/')+1:]
}

// writeQueryFailure is an error of a query service.
func writeQueryFailure(f *failure, w http.ResponseWriter) {
	type body struct{ Type, Code, Message string }
	kind := "Sender"
	if f.status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	b, err := xml.Marshal(struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Error     body
		RequestId string
	}{Error: body{kind, f.queryCode(), f.message}, RequestId: w.Header().Get("X-Amzn-Requestid")})
	if err != nil {
		f.status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(f.status)
	_, _ = w.Write(b)
}
