// Package python_test runs the tests of the Python package pgbgw, so that they
// are part of all tests.
package python_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestUnits runs the package's own tests, with all warnings as errors.
func TestUnits(t *testing.T) {
	need(t)
	c := exec.Command("python3", "-B", "-W", "error", "-m", "unittest")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestImport: it starts no thread and no process.
func TestImport(t *testing.T) {
	need(t)
	c := exec.Command("python3", "-B", "-c", `
import sys, threading
def audit(event, _):
    if event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"):
        raise AssertionError(event)
sys.addaudithook(audit)
import pgbgw
assert threading.active_count() == 1
`)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestWithoutLibatomic: what needs no atomic operations works, and what needs
// them says what to install.
func TestWithoutLibatomic(t *testing.T) {
	need(t)
	c := exec.Command("python3", "-B", "-c", `
import ctypes
def missing(*_): raise OSError
ctypes.CDLL = missing
import pgbgw
from tests.fakes import World, memory
from pgbgw._queue import Queue
party = World().party(0)
party.latch.set()
assert party.latch.wait(0) is pgbgw.Event.LATCH_SET
try:
    Queue.create(party, memory(4096))
except pgbgw.NoAtomics as e:
    assert "libatomic1" in str(e), e
else:
    raise AssertionError("a queue without atomic operations")
`)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// need skips the test where there is no Python 3.11 with libatomic, and fails
// where the environment promises them.
func need(t *testing.T) {
	t.Helper()
	out, err := exec.Command("python3", "-c",
		`import sys, ctypes; assert sys.version_info >= (3, 11), sys.version; ctypes.CDLL("libatomic.so.1")`).CombinedOutput()
	if err == nil {
		return
	}
	why := "Python 3.11 with libatomic is needed: " + err.Error() + "\n" + strings.TrimSpace(string(out))
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
