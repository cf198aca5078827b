package gateway

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"kiln/iam"
	"kiln/lambda"
)

// urlEvent is payload format 2.0 as function URLs send it (aws-lambda-go events/testdata/lambda-urls-request.json).
type urlEvent struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	Query           map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext  urlContext        `json:"requestContext"`
	Body            string            `json:"body,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

type urlContext struct {
	AccountID    string         `json:"accountId"`
	APIID        string         `json:"apiId"`
	Authorizer   *urlAuthorizer `json:"authorizer,omitempty"`
	DomainName   string         `json:"domainName"`
	DomainPrefix string         `json:"domainPrefix"`
	HTTP         urlHTTP        `json:"http"`
	RequestID    string         `json:"requestId"`
	RouteKey     string         `json:"routeKey"`
	Stage        string         `json:"stage"`
	Time         string         `json:"time"`
	TimeEpoch    int64          `json:"timeEpoch"` // ms
}

type urlAuthorizer struct {
	IAM urlIAM `json:"iam"`
}

type urlIAM struct {
	AccessKey string `json:"accessKey"`
	AccountID string `json:"accountId"`
	UserARN   string `json:"userArn"`
	UserID    string `json:"userId"`
}

type urlHTTP struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

func (g *Gateway) event(r *http.Request, raw target, t *Target, who iam.Principal) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, lambda.MaxEvent))
	if err != nil {
		return nil, err
	}
	now := g.Now().UTC()
	host := t.URL.ID + ".lambda-url." + g.Region + "." + g.Domain
	path, err := url.PathUnescape(raw.path)
	if err != nil {
		path = raw.path
	}
	e := urlEvent{Version: "2.0", RouteKey: "$default", RawPath: raw.path, RawQueryString: raw.query, Headers: headers(r), Query: query(raw.query),
		Cookies: cookies(r),
		RequestContext: urlContext{AccountID: "anonymous", APIID: t.URL.ID, DomainName: host, DomainPrefix: t.URL.ID, RequestID: g.NewID(),
			RouteKey: "$default", Stage: "$default", Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
			HTTP: urlHTTP{Method: r.Method, Path: path, Protocol: r.Proto, SourceIP: g.Remote(r), UserAgent: r.UserAgent()}}}
	if who.Kind != iam.KindAnonymous && who.Kind != "" {
		e.RequestContext.AccountID = accountOf(who.ARN)
		e.RequestContext.Authorizer = &urlAuthorizer{urlIAM{AccountID: accountOf(who.ARN), UserARN: who.ARN, UserID: who.Name}}
	}
	e.Body, e.IsBase64Encoded = encodeBody(r.Header.Get("Content-Type"), body)
	return json.Marshal(e)
}

func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

// headers are lower-case; several values of one name are joined with commas. Cookies have a field of their own and stay here too, as AWS does.
func headers(r *http.Request) map[string]string {
	h := make(map[string]string, len(r.Header)+1)
	for name, values := range r.Header {
		sep := ","
		if name == "Cookie" {
			sep = "; "
		}
		h[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, sep), "\uFFFD")
	}
	h["host"] = r.Host
	return h
}

func cookies(r *http.Request) (all []string) {
	for _, line := range r.Header["Cookie"] {
		for c := range strings.SplitSeq(line, ";") {
			if c = strings.TrimSpace(c); c != "" {
				all = append(all, strings.ToValidUTF8(c, "\uFFFD"))
			}
		}
	}
	return all
}

// query joins several values of one name with commas, in the order in which they were sent.
func query(raw string) map[string]string {
	if raw == "" {
		return nil
	}
	all := map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		k, v = unescape(k), unescape(v)
		if before, ok := all[k]; ok {
			v = before + "," + v
		}
		all[k] = v
	}
	return all
}

func unescape(s string) string {
	u, err := url.QueryUnescape(s)
	if err != nil {
		u = s
	}
	return strings.ToValidUTF8(u, "\uFFFD")
}

// encodeBody keeps text as it is and sends everything else as base64, as AWS decides by content type.
func encodeBody(contentType string, body []byte) (string, bool) {
	if len(body) == 0 {
		return "", false
	}
	if isText(contentType) && utf8.Valid(body) {
		return string(body), false
	}
	return base64.StdEncoding.EncodeToString(body), true
}

func isText(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch media {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml")
}
