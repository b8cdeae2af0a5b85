package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"golang.org/x/sys/unix"
)

// hba replaces pg_hba.conf, and pg_ident.conf.
func (c *cluster) hba(rules, maps string) {
	c.t.Helper()
	if err := os.Chmod(c.base, 0o755); err != nil { // so that others reach the socket
		c.t.Fatal(err)
	}
	c.write("pg_hba.conf", rules)
	c.write("pg_ident.conf", maps)
}

// unprivileged prepares a daemon that runs as nobody, in a directory that it
// can read: as an installed one, it has no right that its workers have not.
func unprivileged(t *testing.T, files map[string]string) *supervisor {
	t.Helper()
	asRoot(t)
	b := startBus(t)
	open(t, b.dir)
	s := prepare(t, b, files)
	s.as = &syscall.Credential{Uid: nobody, Gid: nobody}
	open(t, s.dir)
	return s
}

// secret writes a file that only the daemon's user can read.
func (s *supervisor) secret(name, text string) string {
	s.t.Helper()
	s.file(name, text)
	path := filepath.Join(s.dir, name)
	if err := os.Chmod(path, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *supervisor) runAs() {
	s.t.Helper()
	mustRun(s.t, "chown", "-R", strconv.Itoa(nobody), s.dir)
	s.run()
	s.until("READY=1")
	s.connect()
}

// made waits for a file that a worker moves to its place when it is complete.
func (s *supervisor) made(name string) string {
	s.t.Helper()
	return s.content(filepath.Join(s.dir, name))
}

// needLandlock skips a test where the kernel has none: without it the workers
// of one user are not kept from each other.
func needLandlock(t *testing.T) {
	t.Helper()
	if abi, _, _ := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1); int(abi) < 2 {
		if os.Getenv("CI") == "true" {
			t.Fatal("a kernel with Landlock is needed")
		}
		t.Skip("a kernel with Landlock is needed")
	}
}

const psqlReport = `cd %[1]s
psql -wqAt -c "select usename, application_name, current_setting('statement_timeout') from pg_stat_activity where pid = pg_backend_pid()" > report.new 2>&1
psql -wqAt "$PGBGW_CONNECTION" -c "select usename, application_name, current_setting('statement_timeout') from pg_stat_activity where pid = pg_backend_pid()" >> report.new 2>&1
env > clerk.env; echo $$ > clerk.pid.new; mv clerk.pid.new clerk.pid; mv report.new report
exec sleep 1000`

const spyReport = `cd %[1]s
while ! [ -s clerk.pid ]; do sleep 0.1; done
p=/proc/$(cat clerk.pid)
for f in $p/environ $p/cmdline $p/maps $p/fd/8 $p/fd/9; do echo "$f: $(cat $f 2>&1 | tr '\0' ' ')"; done > spied.new
cat /proc/$PPID/environ >> spied.new 2>&1
echo end >> spied.new; mv spied.new spied
exec sleep 1000`

func shell(label, script, more string) string {
	return fmt.Sprintf("worker %q {\n  command = [\"/bin/bash\", \"-c\", <<EOT\n%s\nEOT\n  ]\n  restart_time = \"1h\"\n  start_time = \"recovery_finished\"\n"+
		"  sandbox { no_new_privileges = true }\n%s}\n", label, strings.ReplaceAll(script, "${", "$${"), more)
}

const connects = "  flags = [\"shmem_access\", \"backend_database_connection\"]\n"

// TestPasswordWorker: a worker logs in with a password (SCRAM) that is in
// nobody's environment or arguments, and that another worker of the same user
// cannot get at. One whose role the user map gives to the service's user is let
// in without, and one whose role it does not is not. Its sessions show its name and type (BGW-113), its options
// count, and the connection string says the same as the variables.
func TestPasswordWorker(t *testing.T) {
	needLandlock(t)
	const password = `ge:he\im'$x`
	c := newCluster(t)
	c.hba("local all clerk scram-sha-256\nlocal all shopper,stranger peer map=pg-bgw\nlocal all all trust\n", "pg-bgw nobody shopper\n")
	c.start()
	c.query(`create role clerk login password E'ge:he\\im''$x'`)
	c.query("create role shopper login")
	c.query("create role stranger login")
	s := unprivileged(t, nil)
	file := s.secret("secret", password+"\n")
	s.file("pg-bgw.hcl", c.block("main"))
	s.file("workers.d/10.hcl", shell("clerk", fmt.Sprintf(psqlReport, s.dir), connects+fmt.Sprintf(
		"  type = \"accounts\"\n  connection {\n    database = \"postgres\"\n    role = \"clerk\"\n    options = \"-c statement_timeout=50s\"\n    password_file = %q\n  }\n", file))+
		shell("spy", fmt.Sprintf(spyReport, s.dir), "  flags = [\"shmem_access\"]\n")+
		shell("peer", fmt.Sprintf(`cd %s; psql -wqAt -c "select current_user" > peer.new 2>&1; mv peer.new peer; exec sleep 1000`, s.dir), connects+"  connection {\n    database = \"postgres\"\n    role = \"shopper\"\n  }\n")+
		shell("stranger", "psql -wc 'select 1' || exit 1", connects+"  connection {\n    database = \"postgres\"\n    role = \"stranger\"\n  }\n"))
	s.runAs()
	if got := s.made("peer"); got != "shopper" {
		t.Errorf("the worker that the user map lets in says %q", got)
	}
	if w := s.state("stranger", "restarting"); w.ExitCode != 1 {
		t.Errorf("the worker that no line lets in has ended with %d", w.ExitCode)
	}
	const line = "clerk|accounts: clerk|50s"
	if got := s.made("report"); got != line+"\n"+line {
		t.Errorf("the worker says %q, not %q twice", got, line)
	}
	spied := s.made("spied")
	pid := s.made("clerk.pid")
	if strings.Contains(spied, "ge:he") || strings.Contains(spied, "ge\\:he") || strings.Count(spied, "Permission denied") < 4 {
		t.Errorf("another worker of the same user sees\n%s", spied)
	}
	file8, err := os.ReadFile("/proc/" + pid + "/fd/8") // as root: it is where the spy has looked
	if want := `*:*:*:clerk:ge\:he\\im'$x` + "\n"; err != nil || string(file8) != want {
		t.Errorf("the password file is %q, %v, not %q", file8, err, want)
	}
	environ, _ := os.ReadFile("/proc/" + pid + "/environ")
	shown, err := s.client.Dump(s.ctx())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"environment": string(environ), "log": s.log.String(), "dump": shown, "PGBGW_CONNECTION": s.made("clerk.env")} {
		if strings.Contains(text, "he\\im") {
			t.Errorf("the password is in the %s", name)
		}
	}
	if !strings.Contains(string(environ), "PGPASSFILE=/proc/self/fd/8") || !strings.Contains(string(environ), "passfile:8") {
		t.Errorf("the environment has no password file:\n%q", environ)
	}
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range all {
		if text, _ := os.ReadFile(f); strings.Contains(string(text), "he\\im") {
			t.Errorf("%s has the password: %q", f, text)
		}
	}
}

// TestPassedPassword: a password in a file of root's, which the unprivileged
// service was started with as a descriptor, reaches the one worker, and no
// other process of the service's user can get at it in any way. When the file
// is written anew, the next start has the new one.
func TestPassedPassword(t *testing.T) {
	needLandlock(t)
	need(t, "setpriv")
	c := newCluster(t)
	c.hba("local all clerk scram-sha-256\nlocal all all trust\n", "")
	c.start()
	c.query("create role clerk login password 'geheim'")
	s := unprivileged(t, nil)
	s.as = nil
	mustRun(t, "chown", "-R", strconv.Itoa(nobody), s.dir)
	file := s.secret("secret", "falsch\n") // root's
	s.wrap = []string{"/bin/sh", "-c", `exec 3<"$0"; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=clerk exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`, file}
	s.file("pg-bgw.hcl", c.block("main"))
	s.file("workers.d/10.hcl", shell("clerk", fmt.Sprintf(`cd %s; psql -wqAt -c "select current_user" > report.new 2>&1 || exit 1; mv report.new report; exec sleep 1000`, s.dir),
		connects+"  connection {\n    database = \"postgres\"\n    role = \"clerk\"\n    password_file = \"fd:clerk\"\n  }\n")+
		shell("spy", fmt.Sprintf(`cd %s; cat secret /proc/$PPID/fd/3 > spied.new 2>&1; mv spied.new spied; exec sleep 1000`, s.dir), "  flags = [\"shmem_access\"]\n")+
		shell("other", "exec sleep 1000", connects+"  connection {\n    password_file = \"fd:other\"\n  }\n"))
	s.run()
	s.until("READY=1")
	s.connect()
	s.state("clerk", "restarting")
	if err := os.WriteFile(file, []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Start(s.ctx(), s.worker("clerk").Handle); err != nil {
		t.Fatal(err)
	}
	if got := s.made("report"); got != "clerk" {
		t.Errorf("the worker says %q", got)
	}
	if got := s.made("spied"); strings.Count(got, "Permission denied") != 2 {
		t.Errorf("another process of the user sees %q", got)
	}
	s.wait("why it is not started", func() bool { return strings.Contains(s.worker("other").Reason, "OpenFile=/PATH:other") })
}

// TestConnectionNotRequested: whoever registers a worker with a database or a
// role, and without the flag, or with names that no server has, is told of the
// key (BGW-120). That files are refused for it is tested in units/config.
func TestConnectionNotRequested(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": fmt.Sprintf(
		"worker \"connector\" {\n  command = [%q]\n  flags = [\"shmem_access\"]\n  restart_time = \"never\"\n  environment = { TEST_ROLE = \"connector\" }\n}\n", testProgram())})
	const missing = "Database, Role: a database connection was not requested in the flags"
	long := strings.Repeat("x", 64)
	for _, tt := range []struct {
		set            dbusapi.Keys
		database, role string
		flags          []string
		want           string
	}{
		{dbusapi.KeyDatabase, "d", "", nil, missing},
		{dbusapi.KeyDatabase, "", "", nil, missing},
		{dbusapi.KeyRole, "", "r", nil, missing},
		{dbusapi.KeyDatabase, long, "", []string{"backend_database_connection"}, "Database: 64 bytes do not fit"},
		{dbusapi.KeyRole, "", long, []string{"backend_database_connection"}, "Role: 64 bytes do not fit"},
		{dbusapi.KeyRole, "", "a\nb", []string{"backend_database_connection"}, "Role: "},
	} {
		d := definition("one", never, "/bin/sleep", "1000")
		d.Set |= tt.set | dbusapi.KeyStartTime
		d.Database, d.Role, d.StartTime, d.Flags = tt.database, tt.role, "recovery_finished", append(d.Flags, tt.flags...)
		_, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), d, 0)
		if !dbusapi.IsError(err, dbusapi.ErrorInvalidArgs) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt, err, tt.want)
		}
	}
	var said []string
	s.poll("what the worker is told", func() bool {
		_, text, _ := strings.Cut(s.log.String(), "told:")
		said = strings.Split(text, "|")
		return len(said) == 3
	})
	for i, want := range []string{missing, missing, "Role: 64 bytes do not fit"} {
		if !strings.Contains(said[i], want) {
			t.Errorf("over the control socket: %q, want %q", said[i], want)
		}
	}
}

// TestConnectionFlag: who has the flag has PGBGW_CONNECTION, and nobody else
// has it, or any variable of libpq (BGW-120). Where no database and no role is
// named, none is, and libpq's defaults count (BGW-122, BGW-123: a client can
// neither do without a database nor be the bootstrap superuser).
func TestConnectionFlag(t *testing.T) {
	s := prepare(t, startBus(t), map[string]string{"pg-bgw.hcl": ""})
	report := fmt.Sprintf("cd %s; env | grep -E '^PG(BGW_CON|[A-Z]+=)' | sort > \"$PGBGW_NAME\"; echo end >> \"$PGBGW_NAME\"; mv \"$PGBGW_NAME\" \"$PGBGW_NAME.env\"; exec sleep 1000", s.dir)
	s.file("workers.d/10.hcl", shell("with", report, connects+"  name = \"a b\"\n  connection {\n    database = \"it's\"\n  }\n")+
		shell("bare", report, connects)+shell("without", report, "  flags = [\"shmem_access\"]\n"))
	s.run()
	s.until("READY=1")
	s.connect()
	for name, want := range map[string]string{
		"a b":     "PGAPPNAME=a b\nPGBGW_CONNECTION=application_name='a b' dbname='it\\'s'\nPGDATABASE=it's\n",
		"bare":    "PGAPPNAME=bare\nPGBGW_CONNECTION=application_name=bare\n",
		"without": "",
	} {
		if got := strings.TrimSuffix(s.made(name+".env"), "end"); got != want {
			t.Errorf("%s has %q, not %q", name, got, want)
		}
	}
}

// authority makes a certificate authority, and what it signs.
func authority(t *testing.T) (ca string, sign func(name string) (cert, key string)) {
	t.Helper()
	made := func(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (cert, key string, own *ecdsa.PrivateKey) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if by == nil {
			by = own
		}
		template.SerialNumber, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, own.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(own)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), own
	}
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca, _, key := made(root, root, nil)
	return ca, func(name string) (string, string) {
		cert, private, _ := made(&x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, root, key)
		return cert, private
	}
}

// TestCertificateWorker: where the daemon is root and the secrets are root's
// own, a worker of another user logs in over TLS with a certificate whose key
// only it was given, and the server's password file gives it its own password
// and nobody else's.
func TestCertificateWorker(t *testing.T) {
	asRoot(t)
	c := newCluster(t)
	ca, sign := authority(t)
	cert, key := sign("localhost")
	for name, text := range map[string]string{"server.crt": cert, "server.key": key, "root.crt": ca} {
		c.write(name, text)
	}
	address := fmt.Sprintf("127.%d.%d.1", 1+os.Getpid()>>8&0x7f, os.Getpid()&0xff) // nobody else's, so the port may be the usual one
	c.set("listen_addresses = '"+address+"'", "ssl = on", "ssl_ca_file = 'root.crt'")
	c.hba("hostssl all clerk 127.0.0.0/8 cert\nhost all boss,watcher 127.0.0.0/8 scram-sha-256\nlocal all all trust\n", "")
	c.start()
	c.query("create role clerk login")
	c.query("create role boss login password 'chief'")
	c.query("create role watcher login password 'eyes'")
	s := prepare(t, startBus(t), nil)
	for _, dir := range []string{s.dir, filepath.Dir(s.dir)} {
		if err := os.Chmod(dir, 0o777); err != nil { // the workers write their reports there
			t.Fatal(err)
		}
	}
	cert, key = sign("clerk")
	s.file("clerk.crt", cert)
	s.file("root.crt", ca)
	keyFile := s.secret("clerk.key", key)
	passfile := s.secret("pgpass", "*:*:*:watcher:eyes\n*:*:*:boss:chief\n")
	s.file("pg-bgw.hcl", fmt.Sprintf("server \"main\" {\n  conninfo = \"host=localhost hostaddr=%s user=watcher dbname=postgres sslmode=verify-full sslrootcert=%s/root.crt passfile=%s\"\n}\n", address, s.dir, passfile))
	report := "cd " + s.dir + `; f=$PGBGW_NAME; { psql -wqAt -c "select session_user, ssl from pg_stat_ssl where pid = pg_backend_pid()"; id -un; cat $PGPASSFILE; cat clerk.key pgpass; } > $f.new 2>&1; mv $f.new $f; exec sleep 1000`
	s.file("workers.d/10.hcl", shell("clerk", report, connects+"  user = \"nobody\"\n  connection {\n    role = \"clerk\"\n    certificate_file = \""+s.dir+"/clerk.crt\"\n    key_file = \""+keyFile+"\"\n  }\n")+
		shell("boss", report, connects+"  user = \"nobody\"\n  connection {\n    role = \"boss\"\n  }\n"))
	s.run()
	s.until("READY=1")
	s.connect()
	denied := "cat: clerk.key: Permission denied\ncat: pgpass: Permission denied"
	if got, want := s.made("clerk"), "clerk|t\nnobody\n"+denied; got != want {
		t.Errorf("the worker with a certificate says %q, not %q", got, want)
	}
	if got, want := s.made("boss"), "boss|t\nnobody\n*:*:*:boss:chief\n"+denied; got != want {
		t.Errorf("the worker with a password says %q, not %q", got, want)
	}
}

// TestConnectionRefused: a worker whose database is not there fails and is
// tried again when its restart time has passed (BGW-124); one whose password
// file is anybody's is not started, and why is shown.
func TestConnectionRefused(t *testing.T) {
	c := newCluster(t)
	c.start()
	s := prepare(t, startBus(t), nil)
	secret := s.secret("secret", "x")
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	s.file("pg-bgw.hcl", c.block("main"))
	s.file("workers.d/10.hcl", shell("lost", "psql -wc 'select 1' || exit 1", connects+"  connection {\n    database = \"nosuch\"\n  }\n")+
		shell("open", "exec sleep 1000", connects+"  connection {\n    password_file = \""+secret+"\"\n  }\n"))
	s.run()
	s.until("READY=1")
	s.connect()
	if w := s.state("lost", "restarting"); w.ExitCode != 1 {
		t.Errorf("the worker has ended with %d", w.ExitCode)
	}
	s.wait("why it is not started", func() bool { return strings.Contains(s.worker("open").Reason, "chmod o=") })
	if w := s.worker("open"); w.MainPID != 0 || !strings.Contains(w.Reason, secret) {
		t.Errorf("the worker is %s: %q", w.State, w.Reason)
	}
}
