//go:build linux

package process

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"kiln/executor/runner"
)

// TestTheNetworkOfAFunction runs the test below in a network namespace of its own: no setting of this machine is touched.
func TestTheNetworkOfAFunction(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run", "^TestInsideANetworkOfItsOwn$")
	cmd.Env = append(os.Environ(), "KILN_TEST_NETWORK=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestInsideANetworkOfItsOwn") {
		t.Errorf("%v\n%s", err, out)
	}
}

// world is a network namespace that plays the internet and a private network behind this one.
type world struct {
	t    *testing.T
	work *thread
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, work: newThread()}
	var ns netns.NsHandle
	w.must(w.work.do(func() (err error) {
		runtime.LockOSThread()
		ns, err = netns.New()
		return err
	}))
	up, err := netlink.LinkByName("lo")
	w.must(err)
	w.must(netlink.LinkSetUp(up))
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "uplink"
	w.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}))
	uplink, err := netlink.LinkByName("uplink")
	w.must(err)
	w.address(nil, uplink, "9.9.9.2/24")
	gateway := net.IPv4(9, 9, 9, 1)
	w.must(netlink.RouteAdd(&netlink.Route{Gw: gateway}))
	h, err := netlink.NewHandleAt(ns)
	w.must(err)
	inside, err := h.LinkByName("eth0")
	w.must(err)
	for _, a := range []string{"9.9.9.1/24", "93.184.216.34/32", "10.0.0.5/32", "10.0.0.6/32", "169.254.169.254/32"} {
		w.address(h, inside, a)
	}
	w.must(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) address(h *netlink.Handle, l netlink.Link, text string) {
	w.t.Helper()
	a, err := netlink.ParseAddr(text)
	w.must(err)
	if h == nil {
		w.must(netlink.AddrAdd(l, a))
		w.must(netlink.LinkSetUp(l))
		return
	}
	w.must(h.AddrAdd(l, a))
	w.must(h.LinkSetUp(l))
}

// listen answers "hello" on an address of the world, or with here on one of this namespace.
func (w *world) listen(address string, here bool) {
	w.t.Helper()
	var l net.Listener
	open := func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	}
	if here {
		w.must(open())
	} else {
		w.must(w.work.do(open))
	}
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello")
			c.Close()
		}
	}()
}

const tryConnect = `import socket
def to(host,port):
    try:
        s=socket.create_connection((host,port),0.3); r=s.recv(9).decode(); s.close(); return r
    except OSError as e: return type(e).__name__
`

func TestInsideANetworkOfItsOwn(t *testing.T) {
	if os.Getenv("KILN_TEST_NETWORK") == "" {
		t.Skip("runs as part of TestTheNetworkOfAFunction")
	}
	w := newWorld(t)
	for _, a := range []string{"93.184.216.34:80", "10.0.0.5:5432", "10.0.0.5:22", "10.0.0.6:5432", "169.254.169.254:80"} {
		w.listen(a, false)
	}
	w.listen("0.0.0.0:8080", true)
	b := open(t)
	if c := b.Capabilities(); !c.Network {
		t.Fatalf("no network: %+v", c.Missing)
	}
	code := b.tree("2e7", map[string]string{"x": ""})
	var boxes []*eval
	hand := func(n runner.Network) *eval {
		e := b.startOn(t, spec("python3.11", 128))
		if got := e.run(tryConnect + "return to('93.184.216.34',80)"); strings.Contains(got, "hello") {
			t.Error("a pre-booted box reached the internet")
		}
		if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), runner.HandOver{Code: code, MemoryMB: 128, EphemeralMB: 512, Network: n}); err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, e)
		return e
	}
	all := tryConnect + `return [to('93.184.216.34',80),to('10.0.0.5',5432),to('10.0.0.5',22),to('10.0.0.6',5432),to('169.254.169.254',80)]`
	want := func(what string, e *eval, reached ...bool) {
		t.Helper()
		got := strings.Split(e.run(all), ",")
		for i, ok := range reached {
			if i >= len(got) || strings.Contains(got[i], "hello") != ok {
				t.Errorf("%s: %v, want %v", what, got, reached)
				return
			}
		}
	}
	plain := hand(runner.Network{})
	want("the default", plain, true, false, false, false, false)
	database := []runner.Target{{Prefix: netip.MustParsePrefix("10.0.0.5/32"), Port: 5432}}
	want("with a database", hand(runner.Network{Targets: database}), true, true, false, false, false)
	want("closed but for a database", hand(runner.Network{Closed: true, Targets: database}), false, true, false, false, false)
	want("closed", hand(runner.Network{Closed: true}), false, false, false, false, false)

	var own string
	if _, err := fmt.Sscanf(plain.run("import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.connect(('93.184.216.34',9))\nreturn s.getsockname()[0]"), "%q", &own); err != nil {
		t.Fatal(err)
	}
	gateway := netip.MustParseAddr(own).Prev()
	if got := plain.run(fmt.Sprintf(tryConnect+"return [to('%s',8080),to('9.9.9.2',8080)]", gateway)); strings.Contains(got, "hello") {
		t.Errorf("the host's own addresses: %s", got)
	}
	other := hand(runner.Network{})
	if got := other.run("import socket\nglobal l\nl=socket.create_server(('0.0.0.0',7000))\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.connect(('93.184.216.34',9))\nreturn s.getsockname()[0]"); true {
		if got := plain.run(fmt.Sprintf(tryConnect+"return to(%s,7000)", got)); !strings.Contains(got, "imeout") {
			t.Errorf("another sandbox: %s", got)
		}
	}
	if got := plain.run("import socket\nreturn socket.gethostbyname('abc.lambda-url.localhost')"); got != `"127.0.0.1"` {
		t.Errorf("a name of Kiln's: %s", got)
	}
	for _, bad := range []runner.Target{{Prefix: netip.MustParsePrefix("169.254.169.254/32"), Port: 80}, {Prefix: netip.MustParsePrefix("0.0.0.0/0"), Port: 80}, {Prefix: netip.MustParsePrefix("127.0.0.1/32"), Port: 1}} {
		e := b.startOn(t, spec("python3.11", 128))
		h := runner.HandOver{Code: code, MemoryMB: 128, EphemeralMB: 512, Network: runner.Network{Targets: []runner.Target{bad}}}
		if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), h); err == nil {
			t.Errorf("target %v was opened", bad)
		}
		boxes = append(boxes, e)
	}
	for _, e := range boxes {
		e.end()
	}
	b.wantNothingLeft(t)
	waitFor(t, "links to go", func() bool {
		links, err := netlink.LinkList()
		return err == nil && len(links) <= 2+idleEmbryos // lo and uplink
	})
}

func TestForwardingOffIsSaidAndNotChanged(t *testing.T) {
	before, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil || strings.TrimSpace(string(before)) != "0" {
		t.Skip("forwarding is on here")
	}
	b := open(t)
	if c := b.Capabilities(); c.Network {
		t.Error("a network without forwarding")
	} else if os.Geteuid() == 0 && !strings.Contains(fmt.Sprint(c.Missing), "sandbox.forwardingOff") {
		t.Errorf("missing: %+v", c.Missing)
	}
	if after, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); string(after) != string(before) {
		t.Error("a setting of the host was changed")
	}
}

func TestNamesDoNotLeadIntoPrivateNetworks(t *testing.T) {
	upstream, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"public.example.": "93.184.216.34", "rebind.example.": "10.0.0.5", "meta.example.": "169.254.169.254", "loop.example.": "127.0.0.1"}
	server := &dns.Server{PacketConn: upstream, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if a, ok := names[q.Question[0].Name]; ok {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(a)}}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	r := newResolver(runner.Network{}, slog.Default())
	r.servers = []string{upstream.LocalAddr().String()}
	ask := func(name string, kind uint16) *dns.Msg { return r.answer(new(dns.Msg).SetQuestion(name, kind), "udp") }
	for name, want := range map[string]int{"public.example.": 1, "rebind.example.": 0, "meta.example.": 0, "loop.example.": 0, "x.lambda-url.localhost.": 1, "none.example.": 0} {
		if got := ask(name, dns.TypeA); len(got.Answer) != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := ask("public.example.", dns.TypeAAAA); len(got.Answer) != 0 || got.Rcode != dns.RcodeSuccess {
		t.Errorf("IPv6: %v", got)
	}
	r.allow.Targets = []runner.Target{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Port: 5432}}
	if got := ask("rebind.example.", dns.TypeA); len(got.Answer) != 1 {
		t.Errorf("an allowed target: %v", got)
	}
	if got := ask("meta.example.", dns.TypeA); len(got.Answer) != 0 {
		t.Errorf("the metadata address: %v", got)
	}
	if got := r.answer(new(dns.Msg), "udp"); got.Rcode != dns.RcodeFormatError {
		t.Errorf("no question: %v", got)
	}
}
