package process

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kiln/executor/runner"
)

// network gives each box a link of its own to the host, and a filter between them: a new box is closed, a function's is opened by one
// set element. The filter drops what goes to the host itself, to other boxes, to link-local and private addresses.
type network struct {
	prefix string       // of the links' names, and the table's name
	subnet netip.Prefix // of the links' addresses

	mu      sync.Mutex
	nft     *nftables.Conn
	table   *nftables.Table
	open    *nftables.Set
	targets *nftables.Chain
	used    map[int]bool
}

// Where links may take their addresses: none of them is anybody's network by its definition; the first that the host does not use.
var linkRanges = []string{"198.18.0.0/17", "100.127.0.0/17", "10.213.0.0/17"}

var (
	errForwardingOff = errors.New("net.ipv4.ip_forward is off")

	// never can be reached by nobody, whatever an owner allows: this host, link-local (metadata services), multicast, nowhere.
	never = prefixes("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
	// private needs a target that the owner opened.
	private = prefixes("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24")
)

func prefixes(list ...string) (all []netip.Prefix) {
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// newNetwork builds the filter. It changes no setting of the host: where forwarding is off, it says so and does nothing.
func newNetwork(state string) (*network, error) {
	forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		return nil, fmt.Errorf("read ip_forward: %w", err)
	}
	if strings.TrimSpace(string(forward)) != "1" {
		return nil, errForwardingOff
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, state)
	n := &network{prefix: fmt.Sprintf("kn%06x", h.Sum32()&0xffffff), used: map[int]bool{}}
	if n.subnet, err = freeRange(); err != nil {
		return nil, err
	}
	if n.nft, err = nftables.New(nftables.AsLasting()); err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	if err := n.build(); err != nil {
		return nil, errors.Join(err, n.nft.CloseLasting())
	}
	return n, nil
}

func freeRange() (netip.Prefix, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("list routes: %w", err)
	}
	for _, text := range linkRanges {
		p := netip.MustParsePrefix(text)
		if !routed(p, routes) {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("every address range for sandboxes is in use on this host")
}

func routed(p netip.Prefix, routes []netlink.Route) bool {
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		bits, _ := r.Dst.Mask.Size()
		if ok && bits > 0 && p.Overlaps(netip.PrefixFrom(addr, bits)) {
			return true
		}
	}
	return false
}

// build makes the table anew, without those that a dead spawner left.
func (n *network) build() error {
	n.table = &nftables.Table{Family: nftables.TableFamilyINet, Name: n.prefix}
	n.nft.AddTable(n.table) // so that there is one to delete
	n.nft.DelTable(n.table)
	n.nft.AddTable(n.table)
	n.open = &nftables.Set{Table: n.table, Name: "open", KeyType: nftables.TypeIPAddr}
	neverSet := &nftables.Set{Table: n.table, Name: "never", KeyType: nftables.TypeIPAddr, Interval: true}
	privateSet := &nftables.Set{Table: n.table, Name: "private", KeyType: nftables.TypeIPAddr, Interval: true}
	err := errors.Join(n.nft.AddSet(n.open, nil), n.nft.AddSet(neverSet, intervals(append([]netip.Prefix{n.subnet}, never...))),
		n.nft.AddSet(privateSet, intervals(private)))
	if err != nil {
		return fmt.Errorf("make the address sets: %w", err)
	}
	n.targets = n.nft.AddChain(&nftables.Chain{Table: n.table, Name: "targets"})
	n.addForward(neverSet, privateSet)
	n.addInput()
	n.addMasquerade()
	if err := n.nft.Flush(); err != nil {
		return fmt.Errorf("load the packet filter: %w", err)
	}
	return nil
}

func intervals(list []netip.Prefix) (all []nftables.SetElement) {
	for _, p := range list {
		first := p.Masked().Addr().As4()
		end := binary.BigEndian.Uint32(first[:]) + 1<<(32-p.Bits())
		all = append(all, nftables.SetElement{Key: first[:]})
		if end != 0 { // the interval up to the last address has no end
			all = append(all, nftables.SetElement{Key: binary.BigEndian.AppendUint32(nil, end), IntervalEnd: true})
		}
	}
	return all
}

func (n *network) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority int) *nftables.Chain {
	p := nftables.ChainPriority(priority)
	return n.nft.AddChain(&nftables.Chain{Table: n.table, Name: name, Type: kind, Hooknum: hook, Priority: &p})
}

// addForward judges what boxes send, and lets only answers back in.
func (n *network) addForward(neverSet, privateSet *nftables.Set) {
	c := n.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, -10)
	from, to := n.device(expr.MetaKeyIIFNAME), n.device(expr.MetaKeyOIFNAME)
	drop, accept := verdict(expr.VerdictDrop), verdict(expr.VerdictAccept)
	n.rule(c, from, family(expr.CmpOpNeq), drop)
	n.rule(c, from, daddrIn(neverSet), drop)
	n.rule(c, from, []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: n.targets.Name}})
	n.rule(c, from, daddrIn(privateSet), drop)
	n.rule(c, from, saddrIn(n.open), accept)
	n.rule(c, from, drop)
	n.rule(c, to, answers(), accept)
	n.rule(c, to, drop)
}

// addInput keeps boxes from the host's own addresses, public ones too.
func (n *network) addInput() {
	c := n.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, -10)
	n.rule(c, n.device(expr.MetaKeyIIFNAME), verdict(expr.VerdictDrop))
}

func (n *network) addMasquerade() {
	c := n.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 100)
	masked := n.subnet.Masked().Addr().As4()
	mask := net.CIDRMask(n.subnet.Bits(), 32)
	n.rule(c, family(expr.CmpOpEq), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: masked[:]},
		&expr.Masq{},
	})
}

func (n *network) rule(c *nftables.Chain, parts ...[]expr.Any) {
	r := &nftables.Rule{Table: n.table, Chain: c}
	for _, p := range parts {
		r.Exprs = append(r.Exprs, p...)
	}
	n.nft.AddRule(r)
}

// device matches the links of this spawner's boxes, by the beginning of their names.
func (n *network) device(key expr.MetaKey) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(n.prefix)}}
}

func family(op expr.CmpOp) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte{unix.NFPROTO_IPV4}}}
}

func saddrIn(s *nftables.Set) []expr.Any { return addressIn(s, 12) }

func daddrIn(s *nftables.Set) []expr.Any { return addressIn(s, 16) }

func addressIn(s *nftables.Set, offset uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID}}
}

func answers() []expr.Any {
	bits := uint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)}}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

// addresses are the host's and the box's end of link i.
func (n *network) addresses(i int) (host, box netip.Addr) {
	first := n.subnet.Masked().Addr().As4()
	base := binary.BigEndian.Uint32(first[:]) + uint32(4*i)
	at := func(v uint32) netip.Addr { return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, v))) }
	return at(base + 1), at(base + 2)
}

func (n *network) linkName(i int) string { return fmt.Sprintf("%s-%d", n.prefix, i) }

// connect gives the process's network namespace a link, closed as yet, and its number.
func (n *network) connect(pid int) (int, error) {
	i := n.reserve()
	if err := n.link(i, pid); err != nil {
		n.disconnect(i, "")
		return -1, fmt.Errorf("connect the box: %w", err)
	}
	return i, nil
}

func (n *network) reserve() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := 0; ; i++ {
		if !n.used[i] {
			n.used[i] = true
			return i
		}
	}
}

func (n *network) link(i, pid int) error {
	host, box := n.addresses(i)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.linkName(i)
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsPid(pid)}
	err := netlink.LinkAdd(pair)
	if errors.Is(err, unix.EEXIST) { // of a dead spawner's box, whose namespace is being taken down
		if old, findErr := netlink.LinkByName(attrs.Name); findErr == nil {
			_ = netlink.LinkDel(old)
		}
		err = netlink.LinkAdd(pair)
	}
	if err != nil {
		return err
	}
	here, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer here.Close()
	if err := bringUp(here, attrs.Name, host); err != nil {
		return err
	}
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer inside.Close()
	if err := bringUp(inside, "eth0", box); err != nil {
		return err
	}
	return inside.RouteAdd(&netlink.Route{Gw: host.AsSlice()})
}

func bringUp(h *netlink.Handle, name string, addr netip.Addr) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	if err := h.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(30, 32)}}); err != nil {
		return err
	}
	return h.LinkSetUp(l)
}

// admit opens link i for a function: the internet, and the private targets that its owner opened. owner marks the rules.
func (n *network) admit(i int, owner string, allow runner.Network) error {
	_, box := n.addresses(i)
	n.mu.Lock()
	defer n.mu.Unlock()
	var err error
	if !allow.Closed {
		err = n.nft.SetAddElements(n.open, []nftables.SetElement{{Key: box.AsSlice()}})
	}
	for _, t := range allow.Targets {
		n.nft.AddRule(&nftables.Rule{Table: n.table, Chain: n.targets, UserData: []byte(owner), Exprs: targetRule(box, t)})
	}
	if err := errors.Join(err, n.nft.Flush()); err != nil {
		return fmt.Errorf("open the box's network: %w", err)
	}
	return nil
}

func targetRule(box netip.Addr, t runner.Target) []expr.Any {
	dst := t.Prefix.Masked().Addr().As4()
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: box.AsSlice()},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: net.CIDRMask(t.Prefix.Bits(), 32), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: dst[:]},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(t.Port)},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// disconnect takes the link and everything that was opened for it; the number is free afterwards.
func (n *network) disconnect(i int, owner string) {
	if l, err := netlink.LinkByName(n.linkName(i)); err == nil {
		_ = netlink.LinkDel(l) // it goes with the box's namespace at the same time
	}
	_, box := n.addresses(i)
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.used, i)
	if owner == "" {
		return
	}
	_ = n.nft.SetDeleteElements(n.open, []nftables.SetElement{{Key: box.AsSlice()}})
	_ = n.nft.Flush() // fails for a box that was never opened
	rules, err := n.nft.GetRules(n.table, n.targets)
	if err != nil {
		return
	}
	for _, r := range rules {
		if bytes.Equal(r.UserData, []byte(owner)) {
			_ = n.nft.DelRule(r)
		}
	}
	_ = n.nft.Flush() // the rules of this box only
}

// close removes the filter.
func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nft.DelTable(n.table)
	_ = n.nft.Flush() // the next spawner makes it anew in any case
	_ = n.nft.CloseLasting()
}
