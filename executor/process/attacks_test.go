//go:build linux

package process

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
)

// prelude gives attacks their tools: sys(number, …) returns the error's name or "OK", tcp(host, port) and sh(command).
const pythonPrelude = `import ctypes,os,socket,errno,subprocess,signal,struct,time
libc=ctypes.CDLL(None,use_errno=True)
def sys(nr,*a):
    ctypes.set_errno(0)
    r=libc.syscall(ctypes.c_long(nr),*[ctypes.c_long(x) if isinstance(x,int) else x for x in a])
    return errno.errorcode.get(ctypes.get_errno(),'?') if r==-1 else 'OK'
def att(f,*a):
    try: r=f(*a); return 'OK' if r is None or not isinstance(r,str) else r
    except OSError as e: return errno.errorcode.get(e.errno,str(e)) if e.errno else type(e).__name__
def tcp(host,port):
    def go():
        s=socket.create_connection((host,port),1); s.close()
    return att(go)
def sh(c):
    p=subprocess.run(['/bin/sh','-c',c],capture_output=True,text=True,timeout=20)
    return p.stdout.strip() if p.returncode==0 else 'FAIL'
`

const nodePrelude = `const fs=require('fs'),net=require('net'),cp=require('child_process'),os=require('os'),dgram=require('dgram');
const att=f=>{try{const r=f();return typeof r==='string'?r:'OK'}catch(e){return e.code||String(e)}};
const tcp=(host,port)=>new Promise(d=>{const s=net.connect({host,port,timeout:1000});s.on('connect',()=>{s.destroy();d('OK')});s.on('timeout',()=>{s.destroy();d('TIMEOUT')});s.on('error',e=>d(e.code))});
const unixc=path=>new Promise(d=>{const s=net.connect(path);s.on('connect',()=>{s.destroy();d('OK')});s.on('error',e=>d(e.code))});
const sh=c=>{const p=cp.spawnSync('/bin/sh',['-c',c],{encoding:'utf8',timeout:20000});return p.status===0?p.stdout.trim():'FAIL'};
`

// attack is one thing that a hostile function tries. The answer must match want.
type attack struct {
	name string
	does does
	want string // regular expression over the JSON answer
}

const refused = `^"(EPERM|EACCES|ENOSYS|EROFS|ENOENT|EINVAL|EAFNOSUPPORT|ESRCH|EOPNOTSUPP|FAIL|ENODEV|EBADF|ENXIO)"$`

func hostAttacks(tcpPort, udpPort int, abstract string, hostPid int) []attack {
	return []attack{
		{"read the host's shadow file", does{`return att(()=>fs.readFileSync('/etc/shadow','utf8'))`, `return att(lambda: open('/etc/shadow').read())`}, refused},
		{"see the host's files", does{`return ['/root','/home','/work','/var/lib','/run','/boot','/etc/ssh','/etc/hostname','/srv','/mnt'].filter(p=>fs.existsSync(p)).join()`,
			`return ','.join(p for p in ['/root','/home','/work','/var/lib','/run','/boot','/etc/ssh','/etc/hostname','/srv','/mnt'] if os.path.exists(p))`}, `^""$`},
		{"see the host's files through a process's root", does{`return att(()=>fs.readFileSync('/proc/1/root/etc/shadow','utf8'))`, `return att(lambda: open('/proc/1/root/etc/shadow').read())`}, refused},
		{"list processes", does{`return fs.readdirSync('/proc').filter(p=>/^\d+$/.test(p)).join()`, `return ','.join(p for p in os.listdir('/proc') if p.isdigit())`}, `^"1"$`},
		{"signal a host process", does{fmt.Sprintf(`return att(()=>process.kill(%d,0))`, hostPid), fmt.Sprintf(`return att(os.kill,%d,0)`, hostPid)}, refused},
		{"connect to the host's loopback", does{fmt.Sprintf(`return await tcp('127.0.0.1',%d)`, tcpPort), fmt.Sprintf(`return tcp('127.0.0.1',%d)`, tcpPort)}, `ECONNREFUSED`},
		{"connect to Postgres and the console", does{`return [await tcp('127.0.0.1',5432),await tcp('::1',5432),await tcp('127.0.0.1',8080)].join()`, `return ','.join([tcp('127.0.0.1',5432),tcp('::1',5432),tcp('127.0.0.1',8080)])`},
			`^"(ECONNREFUSED|EADDRNOTAVAIL),(ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH),(ECONNREFUSED|EADDRNOTAVAIL)"$`},
		{"send to the host's UDP", does{fmt.Sprintf(`return await new Promise(d=>{const s=dgram.createSocket('udp4');s.connect(%d,'127.0.0.1',()=>{s.send('x');s.on('error',e=>d(e.code));setTimeout(()=>d('SENT'),100)})})`, udpPort),
			fmt.Sprintf("s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.sendto(b'x',('127.0.0.1',%d))\nreturn 'SENT'", udpPort)}, `.`}, // judged by the listener
		{"connect to a host's abstract socket", does{fmt.Sprintf(`return await unixc('\0%s')`, abstract), fmt.Sprintf("def go():\n  s=socket.socket(socket.AF_UNIX); s.connect('\\0%s')\nreturn att(go)", abstract)}, `ECONNREFUSED|EINVAL|ENOENT`},
		{"reach the metadata address", does{`return await tcp('169.254.169.254',80)`, `return tcp('169.254.169.254',80)`}, `ENETUNREACH|EHOSTUNREACH|TIMEOUT`},
		{"reach the internet", does{`return await tcp('1.1.1.1',53)`, `return tcp('1.1.1.1',53)`}, `ENETUNREACH|EHOSTUNREACH|TIMEOUT`},
		{"write outside /tmp", does{`return ['/x','/etc/x','/etc/passwd','/usr/x','/var/task/x','/opt/x','/var/runtime/x','/dev/x','/var/x','/bin/x','/sys/x','/sys/fs/cgroup/memory.max'].filter(p=>att(()=>fs.writeFileSync(p,'x'))==='OK').join()`,
			`return ','.join(p for p in ['/x','/etc/x','/etc/passwd','/usr/x','/var/task/x','/opt/x','/var/runtime/x','/dev/x','/var/x','/bin/x','/sys/x','/sys/fs/cgroup/memory.max'] if att(lambda: open(p,'w').write('x'))=='OK')`}, `^""$`},
		{"change what is read-only", does{`return ['/','/usr','/dev','/var/runtime','/proc/sys'].map(p=>sh('mount -o remount,rw '+p)).join()`, `return ','.join(sh('mount -o remount,rw '+p) for p in ['/','/usr','/dev','/var/runtime','/proc/sys'])`}, `^"FAIL,FAIL,FAIL,FAIL,FAIL"$`},
		{"change kernel settings", does{`return ['kernel/core_pattern','vm/overcommit_memory','net/ipv4/ip_forward','kernel/hostname','user/max_user_namespaces'].filter(p=>att(()=>fs.writeFileSync('/proc/sys/'+p,'1'))==='OK').join()`,
			`return ','.join(p for p in ['kernel/core_pattern','vm/overcommit_memory','net/ipv4/ip_forward','kernel/hostname','user/max_user_namespaces'] if att(lambda: open('/proc/sys/'+p,'w').write('1'))=='OK')`}, `^""$`},
		{"read kernel memory and logs", does{`return ['/proc/kcore','/proc/kallsyms','/proc/kmsg','/proc/keys','/proc/timer_list'].map(p=>{try{const f=fs.openSync(p,'r');const b=Buffer.alloc(10);return fs.readSync(f,b,0,10,0)}catch(e){return 0}}).join()`,
			"def n(p):\n  try: return str(len(open(p,'rb').read(10)))\n  except OSError: return '0'\nreturn ','.join(n(p) for p in ['/proc/kcore','/proc/kallsyms','/proc/kmsg','/proc/keys','/proc/timer_list'])"}, `^"0,0,0,0,0"$`},
		{"trigger sysrq", does{`return att(()=>fs.writeFileSync('/proc/sysrq-trigger','h'))`, `return att(lambda: open('/proc/sysrq-trigger','w').write('h'))`}, refused},
		{"see block devices and /dev/kvm", does{`return ['kvm','mem','vda','sda','loop0','loop-control','net','fuse','ptmx','tty'].filter(p=>fs.existsSync('/dev/'+p)).join()`, `return ','.join(p for p in ['kvm','mem','vda','sda','loop0','loop-control','net','fuse','ptmx','tty'] if os.path.exists('/dev/'+p))`}, `^""$`},
		{"become root", does{`return att(()=>process.setuid(0))+att(()=>process.setgid(0))+(process.getuid()===0?'ROOT':'')`, `return att(os.setuid,0)+att(os.setgid,0)+('ROOT' if os.getuid()==0 else '')`}, `^"(EPERM|EINVAL)(EPERM|EINVAL)"$`},
		{"use a setuid program", does{`return sh('su -c id || sudo -n id || newgrp root')`, `return sh('su -c id || sudo -n id || newgrp root </dev/null')`}, `^"FAIL"$`},
		{"make a user namespace", does{`return [sh('unshare -U true'),sh('unshare -Ur true'),sh('unshare -m true'),sh('unshare -n true')].join()`, `return ','.join([sh('unshare -U true'),sh('unshare -Ur true'),sh('unshare -m true'),sh('unshare -n true')])`}, `^"FAIL,FAIL,FAIL,FAIL"$`},
		{"make a device", does{`return sh('mknod /tmp/null c 1 3')+sh('mknod /tmp/vda b 254 0')`, `return att(os.mknod,'/tmp/null',0o20666,os.makedev(1,3))+att(os.mknod,'/tmp/vda',0o60666,os.makedev(254,0))`}, `^"(FAILFAIL|EPERMEPERM)"$`},
		{"hold capabilities", does{`return (/CapEff:\s*(\w+)/.exec(fs.readFileSync('/proc/self/status','utf8')))[1]+(/CapBnd:\s*(\w+)/.exec(fs.readFileSync('/proc/self/status','utf8')))[1]+(/NoNewPrivs:\s*(\d)/.exec(fs.readFileSync('/proc/self/status','utf8')))[1]+(/Seccomp:\s*(\d)/.exec(fs.readFileSync('/proc/self/status','utf8')))[1]`,
			"import re\ns=open('/proc/self/status').read()\nreturn ''.join(re.search(k+r':\\s*(\\w+)',s)[1] for k in ['CapEff','CapBnd','NoNewPrivs','Seccomp'])"}, `^"0{32}12"$`},
		{"learn of the host's mounts", does{`return fs.readFileSync('/proc/self/mountinfo','utf8').split('\n').filter(l=>/ (\/root|\/work|\/home|\/old|\/sys\/fs)/.test(l.split(' - ')[0].split(' ').slice(4).join(' '))).join()`,
			"return ','.join(l.split()[4] for l in open('/proc/self/mountinfo') if l.split()[4].startswith(('/root','/work','/home','/old','/sys')))"}, `^""$`},
	}
}

// Attacks on the kernel's doors, by number: Python has them at hand.
var kernelAttacks = map[string]string{
	"ptrace pid 1's parent":      `sys(101,16,0,0,0)`,
	"mount a tmpfs":              `sys(165,b'tmpfs',b'/tmp',b'tmpfs',0,0)`,
	"umount /proc":               `sys(166,b'/proc',2)`,
	"pivot_root":                 `sys(155,b'/tmp',b'/tmp')`,
	"chroot":                     `sys(161,b'/tmp')`,
	"unshare a user namespace":   `sys(272,0x10000000)`,
	"unshare a mount namespace":  `sys(272,0x20000)`,
	"clone a user namespace":     `sys(56,0x10000000|17,0,0,0,0)`,
	"clone3":                     `sys(435,ctypes.create_string_buffer(88),88)`,
	"setns":                      `sys(308,os.open('/proc/self/ns/net',0),0)`,
	"bpf":                        `sys(321,0,ctypes.create_string_buffer(120),120)`,
	"perf_event_open":            `sys(298,ctypes.create_string_buffer(120),0,-1,-1,0)`,
	"io_uring_setup":             `sys(425,8,ctypes.create_string_buffer(120))`,
	"keyctl":                     `sys(250,0,-3,0)`,
	"add_key":                    `sys(248,b'user',b'a',b'b',1,-3)`,
	"request_key":                `sys(249,b'user',b'a',0,-3)`,
	"userfaultfd":                `sys(323,0)`,
	"init_module":                `sys(175,b'',0,b'')`,
	"finit_module":               `sys(313,0,b'',0)`,
	"kexec_load":                 `sys(246,0,0,0,0)`,
	"open_by_handle_at":          `sys(304,-100,ctypes.create_string_buffer(64),0)`,
	"fsopen":                     `sys(430,b'tmpfs',0)`,
	"open_tree":                  `sys(428,-100,b'/usr',1)`,
	"move_mount":                 `sys(429,-100,b'/usr',-100,b'/tmp',0)`,
	"mount_setattr":              `sys(442,-100,b'/usr',0,ctypes.create_string_buffer(32),32)`,
	"quotactl":                   `sys(179,0x800002,0,0,0)`,
	"reboot":                     `sys(169,0xfee1dead,672274793,0,0)`,
	"swapon":                     `sys(167,b'/tmp/x',0)`,
	"settimeofday":               `sys(164,ctypes.create_string_buffer(16),0)`,
	"sethostname":                `sys(170,b'x',1)`,
	"syslog":                     `sys(103,3,ctypes.create_string_buffer(100),100)`,
	"personality ADDR_NO_RANDOM": `sys(135,0x0040000)`,
	"iopl":                       `sys(172,3)`,
	"acct":                       `sys(163,b'/tmp/x')`,
	"x32 getpid":                 `sys(0x40000000|39)`,
	"mknod a block device":       `sys(133,b'/tmp/b',0o60600,os.makedev(7,0))`,
	"raw socket":                 `att(socket.socket,socket.AF_INET,socket.SOCK_RAW,1)`,
	"packet socket":              `att(socket.socket,17,socket.SOCK_RAW,3)`,
	"vsock":                      `att(socket.socket,40,socket.SOCK_STREAM)`,
	"vsock behind dirty bits":    `sys(41,(1<<32)|40,1,0)`,
	"AF_ALG":                     `att(socket.socket,38,socket.SOCK_SEQPACKET)`,
	"raise the file limit":       `att(lambda: __import__('resource').setrlimit(7,(4096,4096)) )`,
	"raise priority":             `att(os.setpriority,0,0,-5)`,
	// Its floor is set with CAP_SYS_RESOURCE only; a spawner without it (this may be a container) passes its own floor on.
	"lower the oom score": `'EPERM' if open('/proc/self/oom_score_adj').read().strip()!='500' else 'EPERM' if FLOORLESS else att(lambda: open('/proc/self/oom_score_adj','w').write('-1000'))`,
}

func TestAttacksFail(t *testing.T) {
	b := open(t)
	hostTCP, hostUDP, abstract := hostServices(t)
	list := hostAttacks(hostTCP.Addr().(*net.TCPAddr).Port, hostUDP.LocalAddr().(*net.UDPAddr).Port, abstract, os.Getpid())
	eachRuntime(t, b, func(t *testing.T, rt string) {
		s := spec(rt, 256)
		e := b.startOn(t, s)
		prelude := does{nodePrelude, pythonPrelude}.in(rt)
		for _, a := range list {
			if got := e.run(prelude + a.does.in(rt)); !regexp.MustCompile(a.want).MatchString(got) {
				t.Errorf("%s: %s", a.name, got)
			}
		}
	})
	if err := hostUDP.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := hostUDP.ReadFrom(make([]byte, 10)); n > 0 {
		t.Error("a packet from inside arrived at the host's UDP socket")
	}
}

func hasCapability(c int) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&hdr, &data[0]) == nil && data[c/32].Effective&(1<<(c%32)) != 0
}

func hostServices(t *testing.T) (net.Listener, net.PacketConn, string) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("kiln-test-%d", os.Getpid())
	abstract, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close(); udp.Close(); abstract.Close() })
	return tcp, udp, name
}

func TestTheKernelsDoorsAreShut(t *testing.T) {
	if auditArch != unix.AUDIT_ARCH_X86_64 {
		t.Skip("the numbers are amd64's")
	}
	b := open(t)
	e := b.start(spec("python3.11", 128))
	refusedOr := regexp.MustCompile(refused)
	for name, call := range kernelAttacks {
		call = strings.ReplaceAll(call, "FLOORLESS", map[bool]string{true: "False", false: "True"}[hasCapability(unix.CAP_SYS_RESOURCE)])
		if got := e.run(pythonPrelude + "return " + call); !refusedOr.MatchString(got) && got != `"ValueError"` && !strings.Contains(got, "ValueError") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := e.run("return 'alive'"); got != `"alive"` {
		t.Error(got)
	}
}

func TestOneFunctionCannotReachAnother(t *testing.T) {
	b := open(t)
	s := spec("python3.11", 128)
	s.Code, s.Env = b.tree("5ec2e7", map[string]string{"secret.txt": "other's code"}), []string{"SECRET=other's value"}
	other := b.start(s)
	if got := other.run("import socket\nopen('/tmp/secret','w').write('x')\nopen('/dev/shm/secret','w').write('x')\nglobal l,u\nl=socket.create_server(('0.0.0.0',7777))\nu=socket.socket(socket.AF_UNIX); u.bind('\\0other'); u.listen()\nreturn 1"); got != "1" {
		t.Fatal(got)
	}
	eachRuntime(t, b, func(t *testing.T, rt string) {
		e := b.startOn(t, spec(rt, 256))
		code := does{nodePrelude + `return [fs.readdirSync('/tmp').join(),fs.readdirSync('/dev/shm').join(),fs.readdirSync('/var/task').join(),await tcp('127.0.0.1',7777),await unixc('\0other'),sh('cat /proc/*/environ | tr "\\0" "\\n" | grep -c SECRET || true'),sh('ls -d /proc/[0-9]* | wc -l')>4?'SEES':''].join('|')`,
			pythonPrelude + `
def un():
    s=socket.socket(socket.AF_UNIX); s.connect('\0other')
return '|'.join([','.join(os.listdir('/tmp')),','.join(os.listdir('/dev/shm')),','.join(os.listdir('/var/task')),tcp('127.0.0.1',7777),att(un),sh('cat /proc/*/environ | tr "\\0" "\\n" | grep -c SECRET || true'),'SEES' if int(sh('ls -d /proc/[0-9]* | wc -l'))>4 else ''])`}
		if got := e.run(code.in(rt)); got != `"|||ECONNREFUSED|ECONNREFUSED|0|"` {
			t.Error(got)
		}
	})
}

func TestBoxesRunAsDifferentUsers(t *testing.T) {
	b := open(t)
	if !b.Capabilities().UserSlot {
		t.Skip("one uid for all on this rung")
	}
	one, two := b.start(spec("python3.11", 128)), b.start(spec("python3.11", 128))
	a, c := one.run("import os\nreturn os.getuid()"), two.run("import os\nreturn os.getuid()")
	if a == c || len(a) < 5 || len(c) < 5 {
		t.Errorf("uids %s and %s", a, c)
	}
}

func TestAForkBombStaysInside(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 512))
	neighbour := b.start(spec("python3.11", 128))
	ns := e.namespaces(t)
	got := e.run(`import os,time
n=0
try:
    while n<5000:
        if os.fork()==0: time.sleep(600)
        n+=1
except OSError as err: return [n, err.errno]
return [n,0]`)
	var n, code int
	if _, err := fmt.Sscanf(got, "[%d, %d]", &n, &code); err != nil || n > maxProcesses || code == 0 {
		t.Errorf("forks: %s", got)
	}
	if got := neighbour.run("import os\np=os.fork()\nif p==0: os._exit(0)\nos.waitpid(p,0)\nreturn 'forks'"); got != `"forks"` {
		t.Errorf("the neighbour: %s", got)
	}
	e.end()
	if left := processesIn(ns); left != 0 {
		t.Errorf("%d processes remain", left)
	}
}

func TestSharedMemoryIsBounded(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 512))
	got := e.run("import os\nn=0\ntry:\n  f=open('/dev/shm/x','wb',buffering=0)\n  while n<300: f.write(b'x'*(1<<20)); n+=1\nexcept OSError: pass\nos.unlink('/dev/shm/x')\nreturn n")
	if got != "64" && got != "63" {
		t.Errorf("%s MB of shared memory", got)
	}
}

func TestAFloodedLogPipeStopsOnlyItsWriter(t *testing.T) {
	b := open(t)
	ctxBox, err := b.Start(t.Context(), spec("python3.11", 128))
	if err != nil {
		t.Fatal(err)
	}
	e := &eval{Sandbox: ctxBox, t: t}
	if err := e.send("import os\nwhile True: os.write(1,b'z'*(1<<20))"); err != nil {
		t.Fatal(err)
	}
	if got := b.start(spec("python3.11", 128)).run("return 1"); got != "1" {
		t.Error(got)
	}
	if err := ctxBox.Stop(t.Context()); err != nil { // nobody has read a byte
		t.Error(err)
	}
	if err := ctxBox.(*sandbox).closeAll(); err != nil {
		t.Error(err)
	}
}

func TestClosingEveryDescriptorHarmsOnlyTheFunction(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 128))
	if err := e.send("import os,time\nos.closerange(0,100)\nwhile True: time.sleep(1)"); err != nil {
		t.Fatal(err)
	}
	if out := e.out.all(); out != "" { // the pipe ends, the box does not
		t.Errorf("output %q", out)
	}
	select {
	case <-e.Exited():
		t.Errorf("exited %+v", e.Exit())
	default:
	}
	e.end()
}

// A shared library or interpreter option in the environment of a cold start belongs to the function, inside the box, and changes nothing outside.
func TestALinkInACodeFolderLeadsNowhere(t *testing.T) {
	b := open(t)
	s := spec("python3.11", 128)
	s.Code = b.tree("11", map[string]string{"x": ""})
	dir := filepath.Join(b.data, "code", s.Code)
	for name, to := range map[string]string{"shadow": "/etc/shadow", "up": "../../../../../../../../etc/shadow", "root": "/proc/1/root"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.Env = []string{"PATH=/usr/bin:/bin"}
	e := b.start(s)
	got := e.run("import os\ndef r(p):\n  try: return open(p).read()[:20]\n  except OSError as e: return str(e.errno)\nreturn [r('/var/task/shadow'), r('/var/task/up'), sorted(os.listdir('/var/task/root'))==sorted(os.listdir('/'))]")
	if got != `["2", "2", true]` {
		t.Error(got)
	}
}

func TestTheRungIsWhatItSays(t *testing.T) {
	b := open(t)
	c := b.Capabilities()
	if os.Geteuid() == 0 && c.Rung != runner.RungA {
		t.Errorf("rung %s as root: %+v", c.Rung, c.Missing)
	}
	if os.Geteuid() != 0 && c.Rung != runner.RungB {
		t.Errorf("rung %s as a plain user: %+v", c.Rung, c.Missing)
	}
	t.Logf("%+v", c)
}
