package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

const (
	writeWait      = 3 * time.Second  // a viewer that takes a frame more slowly is cut and catches up when it comes back
	silence        = 60 * time.Second // a browser asks for the time every 5 s
	maxAsk         = 4 << 10
	maxSubs        = 16
	maxSockets     = 2000
	framesAhead    = 4 // frames that wait for the network, per tab; behind them the subscriptions stop reading
	closeSignedOut = 4401
)

// ask is what a tab sends.
type ask struct {
	Op      string  `json:"op"` // "sub", "unsub", "ping"
	ID      int64   `json:"id"` // the tab's number of the subscription
	Topic   string  `json:"topic"`
	Fn      string  `json:"fn"`      // name; "" for all functions
	Request string  `json:"request"` // logs: of this invocation only
	After   string  `json:"after"`   // logs: the last id that the tab has
	Newest  int     `json:"newest"`  // logs without After: so many kept lines first
	From    int64   `json:"from"`    // ms: nothing older
	At      float64 `json:"at"`      // ping: the tab's clock, sent back
}

// Param makes an ask the decoded request that a topic's row looks at.
func (a ask) Param(name string) string {
	if name == "fn" {
		return a.Fn
	}
	return ""
}

// topic is what a tab can subscribe to, with its authorization row.
type topic struct {
	row edge.Row
	run func(s *socket, ctx context.Context, a ask, f watched) error
}

// watched is the function of a subscription; the zero value is all of them.
type watched struct {
	ID   int64
	Name string
}

// topics are all that there are. Those of a function are authorized by its ARN, without one by "*".
var topics = map[string]topic{
	"logs":    {row: edge.Row{Target: "topic:logs", Action: "logs:FilterLogEvents", Resource: onFunctionOrAll}, run: (*socket).watchLogs},
	"runs":    {row: edge.Row{Target: "topic:runs", Action: "kiln:ListInvocations", Resource: onFunctionOrAll}, run: (*socket).watchRuns},
	"metrics": {row: edge.Row{Target: "topic:metrics", Action: "kiln:GetMetrics", Resource: onFunctionOrAll}, run: (*socket).watchMetrics},
}

func onFunctionOrAll(a lambda.ARNs, p edge.Param) string {
	if p("fn") == "" {
		return "*"
	}
	return edge.OnFunction("fn")(a, p)
}

func (c *Console) socketRoutes() []Route {
	return []Route{route(http.MethodGet, "/socket", "kiln:GetConsole", edge.OnAccount, c.socket)}
}

// TopicRows are the authorization rows of all topics.
func TopicRows() []edge.Row {
	var rows []edge.Row
	for _, t := range topics {
		rows = append(rows, t.row)
	}
	return rows
}

// sockets are the open connections of a console.
type sockets struct {
	mu     sync.Mutex
	closed bool
	all    map[*socket]bool
	wg     sync.WaitGroup
	count  atomic.Int64
}

func (all *sockets) add(s *socket) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.closed || len(all.all) >= maxSockets {
		return false
	}
	if all.all == nil {
		all.all = map[*socket]bool{}
	}
	all.all[s] = true
	all.wg.Add(1)
	all.count.Store(int64(len(all.all)))
	return true
}

func (all *sockets) remove(s *socket) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.all, s)
	all.count.Store(int64(len(all.all)))
	all.wg.Done()
}

// OpenSockets is the number of tabs that are connected.
func (c *Console) OpenSockets() int { return int(c.sockets.count.Load()) }

// CloseSockets tells every tab that the server goes away and waits until their goroutines have ended. No new ones are taken.
func (c *Console) CloseSockets() {
	c.sockets.mu.Lock()
	c.sockets.closed = true
	for s := range c.sockets.all {
		s.end(errGoingAway)
	}
	c.sockets.mu.Unlock()
	c.sockets.wg.Wait()
}

var (
	errSignedOut = errors.New("the session has ended")
	errGoingAway = errors.New("the server stops")
	writeBuffers sync.Pool
)

// socket is one tab's connection. Its goroutines: the reader (the request's own), the writer, and one per subscription; all end with ctx.
type socket struct {
	c    *Console
	ws   *websocket.Conn
	ctx  context.Context
	end  context.CancelCauseFunc
	out  chan []byte
	subs map[int64]context.CancelFunc // of the reader
	wg   sync.WaitGroup
}

func (c *Console) socket(e echo.Context) error {
	up := websocket.Upgrader{CheckOrigin: sameOrigin, ReadBufferSize: 1 << 10, WriteBufferSize: 32 << 10, WriteBufferPool: &writeBuffers, Error: refuseUpgrade}
	ws, err := up.Upgrade(e.Response(), e.Request(), nil)
	if err != nil {
		return nil // answered by the upgrader
	}
	defer ws.Close()
	ctx, end := context.WithCancelCause(c.Context(e))
	defer end(nil)
	s := &socket{c: c, ws: ws, ctx: ctx, end: end, out: make(chan []byte, framesAhead), subs: map[int64]context.CancelFunc{}}
	if !c.sockets.add(s) {
		s.bye(websocket.CloseTryAgainLater, "too many tabs")
		return nil
	}
	defer c.sockets.remove(s)
	s.serve()
	return nil
}

func refuseUpgrade(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	http.Error(w, reason.Error(), status)
}

// sameOrigin lets only our own pages in: a foreign page could ride on the cookie otherwise. Browsers always send Origin; who does not is no browser.
func sameOrigin(r *http.Request) bool {
	u, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func (s *socket) serve() {
	session := edge.SessionOf(s.ctx)
	ended, release := s.c.Sessions.Watch(session.User, session.ID)
	defer release()
	s.wg.Go(s.write)
	s.wg.Go(func() {
		select {
		case <-ended:
			s.end(errSignedOut)
		case <-s.ctx.Done():
		}
	})
	s.read()
	s.end(nil)
	s.wg.Wait()
}

// write is the only one that writes. It ends the connection when a frame takes too long.
func (s *socket) write() {
	defer s.ws.Close() // ends the reader too
	for {
		select {
		case b := <-s.out:
			_ = s.ws.SetWriteDeadline(time.Now().Add(writeWait))
			if err := s.ws.WriteMessage(websocket.TextMessage, b); err != nil {
				s.end(err)
				return
			}
		case <-s.ctx.Done():
			switch context.Cause(s.ctx) {
			case errSignedOut:
				s.bye(closeSignedOut, "signed out")
			case errGoingAway:
				s.bye(websocket.CloseGoingAway, "")
			}
			return
		}
	}
}

func (s *socket) bye(code int, why string) {
	_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), time.Now().Add(time.Second))
}

func (s *socket) read() {
	s.ws.SetReadLimit(maxAsk)
	for {
		_ = s.ws.SetReadDeadline(time.Now().Add(silence))
		var a ask
		if err := s.ws.ReadJSON(&a); err != nil {
			return
		}
		switch a.Op {
		case "ping":
			s.pong(a)
		case "sub":
			s.subscribe(a)
		case "unsub":
			s.unsubscribe(a.ID)
		}
	}
}

// send waits for room; false when the context ended.
func (s *socket) send(ctx context.Context, b []byte) bool {
	select {
	case s.out <- b:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *socket) sendJSON(ctx context.Context, v any) bool {
	b, err := json.Marshal(v)
	if err != nil {
		s.c.Log.ErrorContext(ctx, "socket frame", "error", err)
		return false
	}
	return s.send(ctx, b)
}

// head begins every frame: the subscription's number, the kind, and the server's clock in ms.
type head struct {
	Sub  int64  `json:"s"`
	Kind string `json:"k"`
	Now  int64  `json:"now"`
}

func (s *socket) head(sub int64, kind string) head {
	return head{Sub: sub, Kind: kind, Now: s.c.Now().UnixMilli()}
}

func (s *socket) pong(a ask) {
	s.sendJSON(s.ctx, struct {
		head
		At float64 `json:"at"`
	}{s.head(0, "pong"), a.At})
}

// deny tells the tab why a subscription does not run.
func (s *socket) deny(sub int64, err error) {
	known := asDomain(err)
	if known.Kind == lambda.Internal {
		s.c.Log.ErrorContext(s.ctx, "subscription failed", "error", err, "request", edge.RequestID(s.ctx))
	}
	s.sendJSON(s.ctx, struct {
		head
		Message string `json:"m"`
	}{s.head(sub, "denied"), web.ErrorText(web.Of(s.ctx).Locale, known)})
}

func (s *socket) subscribe(a ask) {
	t, ok := topics[a.Topic]
	if _, again := s.subs[a.ID]; !ok || again || len(s.subs) >= maxSubs {
		s.deny(a.ID, lambda.E(lambda.Invalid, "socket.topic", "topic", a.Topic))
		return
	}
	f, err := s.authorize(t, a)
	if err != nil {
		s.deny(a.ID, err)
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.subs[a.ID] = cancel
	s.wg.Go(func() {
		defer cancel()
		if err := t.run(s, ctx, a, f); err != nil && ctx.Err() == nil {
			s.deny(a.ID, err)
		}
	})
}

func (s *socket) authorize(t topic, a ask) (watched, error) {
	if err := s.c.Gate.Authorize(s.ctx, t.row, a.Param); err != nil {
		return watched{}, err
	}
	if a.Fn == "" {
		return watched{}, nil
	}
	f, err := s.c.Store.Function(s.ctx, a.Fn)
	if err != nil {
		return watched{}, err
	}
	return watched{ID: f.ID, Name: f.Name}, nil
}

func (s *socket) unsubscribe(id int64) {
	if cancel := s.subs[id]; cancel != nil {
		cancel()
		delete(s.subs, id)
	}
}

// pace waits until a frame may follow the one sent at last: 16 ms while few watch, more when many do, so that the encoding of
// frames never takes the machine from the functions.
func (s *socket) pace(ctx context.Context, last time.Time) {
	d := time.Until(last.Add(frameTime(s.c.sockets.count.Load())))
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func frameTime(viewers int64) time.Duration {
	switch {
	case viewers <= 25:
		return 16 * time.Millisecond
	case viewers <= 100:
		return 33 * time.Millisecond
	}
	return 100 * time.Millisecond
}
