package process

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data, and what a filter may answer.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16

	retAllow = 0x7fff0000
	retErrno = 0x00050000
	retKill  = 0x80000000
	x32Bit   = 0x40000000
)

// buildFilter compiles moby's default profile, without any capability, to classic BPF.
func buildFilter() ([]bpf.RawInstruction, error) {
	profile, err := seccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}})
	if err != nil {
		return nil, fmt.Errorf("read the seccomp profile: %w", err)
	}
	if len(syscallNumbers) == 0 {
		return nil, fmt.Errorf("no system call table for %s", runtime.GOARCH)
	}
	prog := filterHead()
	for _, rule := range profile.Syscalls {
		code, err := compileRule(rule)
		if err != nil {
			return nil, err
		}
		prog = append(prog, code...)
	}
	return bpf.Assemble(append(prog, errno(unix.EPERM)))
}

func errno(e unix.Errno) bpf.Instruction { return bpf.RetConstant{Val: retErrno | uint32(e)} }

// filterHead refuses other architectures and x32, and keeps the parent-death signal armed: a function that could switch it off
// would outlive a killed spawner. It answers "done" (errno 0) so that programs which arm it for their children go on.
func filterHead() []bpf.Instruction {
	head := []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		bpf.RetConstant{Val: retKill},
		bpf.LoadAbsolute{Off: dataNumber, Size: 4},
	}
	if hasX32 {
		head = append(head, bpf.JumpIf{Cond: bpf.JumpLessThan, Val: x32Bit, SkipTrue: 1}, errno(unix.ENOSYS))
	}
	head = append(head, familyRule()...)
	pdeathsig := specs.LinuxSeccompArg{Index: 0, Value: unix.PR_SET_PDEATHSIG, Op: specs.OpEqualTo}
	code, _ := compileCall(unix.SYS_PRCTL, []specs.LinuxSeccompArg{pdeathsig}, errno(0))
	return append(head, code...)
}

// familyRule leaves the socket families that functions need. Others are refused even where the profile allows them:
// some (vsock, QIPCRTR, SMC) do not know network namespaces, and the rest is attack surface.
func familyRule() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_SOCKET, SkipFalse: 7},
		bpf.LoadAbsolute{Off: dataArgs, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 1},
		errno(unix.EAFNOSUPPORT),
		bpf.LoadAbsolute{Off: dataNumber, Size: 4},
	}
}

func compileRule(rule specs.LinuxSyscall) ([]bpf.Instruction, error) {
	var prog []bpf.Instruction
	action, err := compileAction(rule)
	if err != nil {
		return nil, err
	}
	for _, name := range rule.Names {
		nr, ok := syscallNumbers[name]
		if !ok {
			continue
		}
		code, err := compileCall(nr, rule.Args, action)
		if err != nil {
			return nil, fmt.Errorf("seccomp rule for %s: %w", name, err)
		}
		prog = append(prog, code...)
	}
	return prog, nil
}

func compileAction(rule specs.LinuxSyscall) (bpf.Instruction, error) {
	switch rule.Action {
	case specs.ActAllow:
		return bpf.RetConstant{Val: retAllow}, nil
	case specs.ActErrno:
		if rule.ErrnoRet != nil {
			return errno(unix.Errno(*rule.ErrnoRet)), nil
		}
		return errno(unix.EPERM), nil
	}
	return nil, fmt.Errorf("seccomp action %s is not supported", rule.Action)
}

// compileCall answers action when the number is nr and every argument matches; the accumulator holds the number before and after.
func compileCall(nr uint32, args []specs.LinuxSeccompArg, action bpf.Instruction) ([]bpf.Instruction, error) {
	if len(args) == 0 {
		return []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: nr, SkipFalse: 1}, action}, nil
	}
	body := []bpf.Instruction{action, bpf.LoadAbsolute{Off: dataNumber, Size: 4}}
	for _, a := range slices.Backward(args) {
		test, err := compileArg(a, uint8(len(body)-1))
		if err != nil {
			return nil, err
		}
		body = append(test, body...)
	}
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: nr, SkipFalse: uint8(len(body))}}, body...), nil
}

// compileArg goes on when the argument matches and skips otherwise. It compares the low 32 bits: all arguments in the profile are
// 32 bits wide in the kernel, which cuts the rest off, so a wider comparison could be fooled by dirt in the upper half.
func compileArg(a specs.LinuxSeccompArg, skip uint8) ([]bpf.Instruction, error) {
	load := bpf.LoadAbsolute{Off: uint32(dataArgs + 8*a.Index), Size: 4}
	v := uint32(a.Value)
	switch a.Op {
	case specs.OpEqualTo:
		return []bpf.Instruction{load, bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipFalse: skip}}, nil
	case specs.OpNotEqual:
		return []bpf.Instruction{load, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipFalse: skip}}, nil
	case specs.OpLessThan:
		return []bpf.Instruction{load, bpf.JumpIf{Cond: bpf.JumpLessThan, Val: v, SkipFalse: skip}}, nil
	case specs.OpGreaterThan:
		return []bpf.Instruction{load, bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: v, SkipFalse: skip}}, nil
	case specs.OpMaskedEqual:
		mask := bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: v}
		return []bpf.Instruction{load, mask, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(a.ValueTwo), SkipFalse: skip}}, nil
	}
	return nil, fmt.Errorf("seccomp operator %s is not supported", a.Op)
}

// loadFilter binds the calling thread, for good.
func loadFilter(raw []bpf.RawInstruction) error {
	prog := unix.SockFprog{Len: uint16(len(raw)), Filter: (*unix.SockFilter)(unsafe.Pointer(&raw[0]))}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return fmt.Errorf("load the seccomp filter: %w", e)
	}
	return nil
}
