package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// moduleBuild is what tests of modules need, made once: the library of the
// server's release beside the programs, the module of contrib/workers and those
// of testdata.
var moduleBuild struct {
	sync.Once
	dir string // of the module
	err error
}

// testModules is the directory of the modules of testdata.
func testModules() string { return filepath.Join(programs, "modules") }

// pgConfig is the release's pg_config; "" where its headers are not installed.
func pgConfig() string {
	path := filepath.Join(pgBin(), "pg_config")
	out, err := exec.Command(path, "--includedir-server").Output()
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(strings.TrimSpace(string(out)), "postgres.h")); err != nil {
		return ""
	}
	return path
}

// release is the major release that the modules are built for.
func release(t *testing.T) int {
	t.Helper()
	out, err := exec.Command(pgConfig(), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if _, err := fmt.Sscanf(string(out), "PostgreSQL %d", &n); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return n
}

// needModules builds them and returns the module's directory.
func needModules(t *testing.T) string {
	t.Helper()
	config := pgConfig()
	if config == "" {
		const missing = "the headers of a PostgreSQL server are needed (postgresql-server-dev-NN)"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	moduleBuild.Do(func() { moduleBuild.dir, moduleBuild.err = buildModule(config) })
	if moduleBuild.err != nil {
		t.Fatal(moduleBuild.err)
	}
	return moduleBuild.dir
}

// buildModule builds in a copy of the module's directory, as its author would.
func buildModule(config string) (string, error) {
	dir := filepath.Join(programs, "module")
	for _, c := range [][]string{
		{"cp", "-r", "../../contrib/workers/worker_spi", dir},
		{"cp", "-r", "testdata/modules", testModules()},
		{"make", "-s", "-C", dir, "PG_CONFIG=" + config, "with_llvm=no"},
		{"make", "-s", "-C", testModules(), "PG_CONFIG=" + config, "with_llvm=no"},
		{"sh", "../../contrib/libpgbgw/pg/build.sh", config, programs},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%v: %w\n%s", c, err, out)
		}
	}
	return dir, nil
}

// probeParameters are set in both.
var probeParameters = map[string]string{
	"bgw_spi.probe": "on", "bgw_spi.workers": "0", "bgw_spi.size": "3MB", "bgw_spi.naptime": "2min",
	"bgw_spi.color": "GREY", "bgw_spi.checked": "8",
}

// moduleConf is the server's configuration that runs the module inside it.
func moduleConf(dir string, parameters map[string]string) []string {
	conf := []string{"max_worker_processes = 8", "shared_preload_libraries = 'bgw_spi'", "dynamic_library_path = '" + dir + ":$libdir'"}
	for name, value := range parameters {
		conf = append(conf, name+" = '"+value+"'")
	}
	return conf
}

// modulesBlock is pg-bgw's configuration that runs the module beside a server.
func modulesBlock(dir string, parameters map[string]string, libraries ...string) string {
	if libraries == nil {
		libraries = []string{"bgw_spi"}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "shared_preload_libraries = [\"%s\"]\ndynamic_library_path = %q\nsettings = {\n",
		strings.Join(libraries, `", "`), dir+":"+testModules()+":$libdir")
	for name, value := range parameters {
		fmt.Fprintf(&b, "  %q = %q\n", name, value)
	}
	return b.String() + "}\n"
}

// observed returns what the probe wrote down, when it has.
func (c *cluster) observed() []string {
	c.t.Helper()
	const count = "SELECT count(*) FROM observed WHERE subject = 'end'"
	(&supervisor{t: c.t}).poll("the probe's end", func() bool { return c.query(count) == "1" })
	return strings.Split(c.query("SELECT string_agg(n || ' ' || subject || ': ' || value, E'\\x01' ORDER BY n) FROM observed"), "\x01")
}

// TestModuleProbe runs one module, one file, inside PostgreSQL and beside it:
// whatever its worker sees has to be the same. It covers BGW-101, BGW-104 and
// BGW-107, errors, memory, parameters, SPI, cursors, transactions and types.
func TestModuleProbe(t *testing.T) {
	insideAndBeside(t, probeParameters, "").says("bgw_spi_probe")
}

// TestModuleProbeDigits: the values that a worker gets are whole, though its database has numbers shown with few digits.
func TestModuleProbeDigits(t *testing.T) {
	dir := needModules(t)
	c := newCluster(t)
	c.start()
	c.query("CREATE TABLE observed (n integer, subject text, value text)")
	c.query("ALTER DATABASE postgres SET extra_float_digits = -3")
	beside(t, c.block("main")+modulesBlock(dir, probeParameters), "")
	c.observed()
	const same = "SELECT string_agg(right(value, 1), '') FROM observed WHERE subject IN ('0.1::float8 + 0.2::float8', '(1.0/3)::float4') AND value LIKE '% t'"
	if got := c.query(same); got != "tt" {
		t.Errorf("of two numbers that were given back unchanged %q are the same", got)
	}
}

// insideAndBeside runs the probe that the parameters choose in a server and beside
// one, where more is pg-bgw's configuration, and says where it saw something else.
func insideAndBeside(t *testing.T, parameters map[string]string, more string) *supervisor {
	t.Helper()
	dir := needModules(t)
	const table = "CREATE TABLE observed (n integer, subject text, value text)"

	inside := newCluster(t, moduleConf(dir, nil)...)
	inside.start()
	inside.query(table)
	inside.stop("fast")
	inside.set(moduleConf(dir, parameters)...)
	inside.start()
	want := inside.observed()
	logTimes(t, "inside ", readOr(inside.base+"/log", ""))

	outside := newCluster(t)
	outside.start()
	outside.query(table)
	s := beside(t, outside.block("main")+more+modulesBlock(dir, parameters), "")
	got := outside.observed()
	logTimes(t, "outside", s.log.String())

	t.Logf("%d observations", len(want))
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("inside  %s\noutside %s", w, g)
		}
	}
	return s
}
