package process

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"kiln/executor/runner"
)

// resolver answers a box's questions on 127.0.0.1:53 inside it: from the host's name servers, without answers that lead to addresses
// which the box may not reach (so that a public name cannot point into a private network), and without IPv6, which boxes do not have.
type resolver struct {
	servers []string
	allow   runner.Network
	busy    chan struct{} // questions under way
	log     *slog.Logger
}

const (
	dnsTimeout   = 3 * time.Second
	maxQuestions = 32
)

func newResolver(allow runner.Network, log *slog.Logger) *resolver {
	r := &resolver{allow: allow, busy: make(chan struct{}, maxQuestions), log: log}
	if conf, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil {
		for _, s := range conf.Servers {
			r.servers = append(r.servers, net.JoinHostPort(s, conf.Port))
		}
	}
	return r
}

// serve answers until both sockets are closed.
func (r *resolver) serve(udp net.PacketConn, tcp net.Listener) {
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: r}, {Listener: tcp, Handler: r}} {
		go func() {
			if err := s.ActivateAndServe(); err != nil && !errors.Is(err, net.ErrClosed) {
				r.log.Debug("a sandbox's name server ended", "err", err)
			}
		}()
	}
}

// ServeDNS answers one question, or drops it when the box asks too much at a time.
func (r *resolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	default:
		return
	}
	answer := r.answer(q, w.RemoteAddr().Network())
	if w.RemoteAddr().Network() == "udp" {
		answer.Truncate(dns.MinMsgSize)
	}
	_ = w.WriteMsg(answer) // the box may be gone
}

func (r *resolver) answer(q *dns.Msg, transport string) *dns.Msg {
	fail := func(code int) *dns.Msg { return new(dns.Msg).SetRcode(q, code) }
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		return fail(dns.RcodeFormatError)
	}
	question := q.Question[0]
	name := strings.ToLower(question.Name)
	if name == "localhost." || strings.HasSuffix(name, ".localhost.") {
		return local(q)
	}
	if question.Qtype == dns.TypeAAAA {
		return fail(dns.RcodeSuccess)
	}
	ask := q.Copy()
	ask.Extra = nil // no options of the box's making
	client := &dns.Client{Net: transport, Timeout: dnsTimeout}
	ctx, cancel := context.WithTimeout(context.Background(), dnsTimeout)
	defer cancel()
	for _, s := range r.servers {
		got, _, err := client.ExchangeContext(ctx, ask, s)
		if err == nil {
			return r.filter(q, got)
		}
	}
	return fail(dns.RcodeServerFailure)
}

func local(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	if q.Question[0].Qtype == dns.TypeA {
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(127, 0, 0, 1)}}
	}
	return m
}

// filter keeps what the box may use of an answer.
func (r *resolver) filter(q, got *dns.Msg) *dns.Msg {
	m := got.Copy()
	m.Id = q.Id
	m.Question = q.Question
	m.Extra = nil
	m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool {
		switch a := rr.(type) {
		case *dns.AAAA:
			return true
		case *dns.A:
			addr, ok := netip.AddrFromSlice(a.A.To4())
			return !ok || !r.reachable(addr)
		}
		return false
	})
	if len(m.Answer) < len(got.Answer) && !slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeA }) && q.Question[0].Qtype == dns.TypeA {
		return new(dns.Msg).SetRcode(q, dns.RcodeRefused)
	}
	return m
}

func (r *resolver) reachable(addr netip.Addr) bool {
	if inAny(addr, never) {
		return false
	}
	if !inAny(addr, private) {
		return !r.allow.Closed
	}
	return slices.ContainsFunc(r.allow.Targets, func(t runner.Target) bool { return t.Prefix.Contains(addr) })
}

func inAny(addr netip.Addr, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}
