//go:build linux

package process

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// plainUID is nobody's on this machine: the tests' stand-in for a plain user.
const plainUID = 54_321

// TestEverythingHoldsOnRungB runs the package's tests again as a plain user, who has user namespaces only.
func TestEverythingHoldsOnRungB(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this process is a plain user already")
	}
	home := t.TempDir()
	for dir := home; dir != "/" && strings.HasPrefix(dir, os.TempDir()+"/"); dir = dir[:strings.LastIndexByte(dir, '/')] {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(home, plainUID, plainUID); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.short", "-test.skip", "Fuzz")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + home, "HOME=" + home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: plainUID, Gid: plainUID}}
	out, err := cmd.CombinedOutput()
	results := regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): .*$`).FindAll(out, -1)
	t.Logf("%s", bytes.Join(results, []byte("\n")))
	if err != nil {
		t.Errorf("%v\n%s", err, failures(string(out)))
	}
	if bytes.Contains(out, []byte("this machine has no sandbox")) {
		t.Skipf("the kernel gives a plain user no sandbox: %s", regexp.MustCompile(`this machine has no sandbox.*`).Find(out))
	}
}

// failures keeps the output of tests that failed.
func failures(out string) string {
	var kept []string
	for _, part := range strings.Split(out, "=== RUN ") {
		if strings.Contains(part, "FAIL") || strings.Contains(part, "panic") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "\n")
}
