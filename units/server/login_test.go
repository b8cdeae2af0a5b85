package server

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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
	"golang.org/x/sys/unix"
)

func connector(c units.Connection) *units.Worker {
	w := (units.Worker{Name: "w", Flags: units.ShmemAccess | units.BackendDatabaseConnection, Connection: &c}).WithDefaults()
	return &w
}

func put(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// environ is what a worker gets, each file at its keyword in angle brackets.
func environ(l *Login) string {
	return strings.Join(l.Environ(func(f LoginFile) string { return "<" + f.Name + ">" }), "\n")
}

// TestLogin: the definition counts before the server's block, the definition's
// environment before both, and the connection string says what the variables say.
func TestLogin(t *testing.T) {
	clearPG(t)
	password := put(t, "p", "a:b\\c\n", 0o600)
	for _, tt := range []struct {
		name, conninfo string
		c              units.Connection
		env            map[string]string
		want, files    string
	}{
		{"the server's alone", "user=u host=/run/x port=5433", units.Connection{}, nil,
			"PGAPPNAME=w\nPGHOST=/run/x\nPGPORT=5433\nPGUSER=u\nPGBGW_CONNECTION=application_name=w host=/run/x port=5433 user=u", ""},
		{"the definition's", "user=u host=h dbname=x options=-cx=y", units.Connection{Database: "a b", Role: `o'b\`, Options: "-c a=b"}, nil,
			"PGAPPNAME=w\nPGDATABASE=a b\nPGHOST=h\nPGOPTIONS=-c a=b\nPGPORT=5432\nPGUSER=o'b\\\n" +
				`PGBGW_CONNECTION=application_name=w dbname='a b' host=h options='-c a=b' port=5432 user='o\'b\\'`, ""},
		{"the environment's", "user=u host=h", units.Connection{Database: "d", PasswordFile: password},
			map[string]string{"PGDATABASE": "e", "PGAPPNAME": "ä", "PGPASSFILE": "/p", "PGPASSWORD": "s", "A": "b"},
			"PGAPPNAME=?\nPGDATABASE=e\nPGHOST=h\nPGPASSFILE=/p\nPGPASSWORD=s\nPGPORT=5432\nPGUSER=u\n" +
				"PGBGW_CONNECTION=application_name=? dbname=e host=h passfile=/p port=5432 user=u", ""},
		{"a service of its own", "user=u host=h", units.Connection{}, map[string]string{"PGSERVICE": "s"},
			"PGAPPNAME=w\nPGSERVICE=s\nPGBGW_CONNECTION=application_name=w service=s", ""},
		{"a password", "postgresql://u:geheim@h/", units.Connection{Role: "r:s", PasswordFile: password}, nil,
			"PGAPPNAME=w\nPGHOST=h\nPGPASSFILE=<passfile>\nPGPORT=5432\nPGUSER=r:s\nPGBGW_CONNECTION=application_name=w host=h passfile=<passfile> port=5432 user=r:s",
			"passfile *:*:*:r\\:s:a\\:b\\\\c\n"},
	} {
		w := connector(tt.c)
		w.Environment = tt.env
		l, err := NewLogin(&Config{Conninfo: tt.conninfo}, w, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var files strings.Builder
		for _, f := range l.Files {
			fmt.Fprintf(&files, "%s %s", f.Name, f.Content)
		}
		if got := environ(l); got != tt.want || files.String() != tt.files {
			t.Errorf("%s: got\n%s\n%s\nwant\n%s\n%s", tt.name, got, &files, tt.want, tt.files)
		}
	}
	if l, err := NewLogin(nil, connector(units.Connection{Role: "r"}), nil); err != nil || environ(l) != "PGAPPNAME=w\nPGUSER=r\nPGBGW_CONNECTION=application_name=w user=r" {
		t.Errorf("without a server: %v, %v", l, err)
	}
}

// TestConninfoIsRead: what conninfoOf writes is read back as it was.
func TestConninfoIsRead(t *testing.T) {
	for _, v := range []string{"", "a", "a b", `'`, `\`, `a'\' b`, "\t\n", "=", "ä"} {
		set, err := parseConninfo(conninfoOf(map[string]string{"PGUSER": v, "PGDATABASE": "d", "PGPASSWORD": "geheim", "OTHER": "x"}))
		if err != nil || set["user"] != v || set["dbname"] != "d" || len(set) > 2 {
			t.Errorf("%q is read as %v, %v", v, set, err)
		}
	}
}

// TestSharedPasswordFile: of the server's password file a worker gets the
// lines that are about its role and server, and nobody else's password.
func TestSharedPasswordFile(t *testing.T) {
	clearPG(t)
	path := put(t, "pgpass", strings.Join([]string{
		"# a comment", "h:5432:*:clerk:one", "*:*:*:boss:two", `h:5432:d\:b:clerk:th\:ree`, "other:5432:*:clerk:four",
		"h:1:*:clerk:five", "*:*:*:*:six:seven\r", "nonsense", "localhost:5432:*:clerk:eight", "#h:5432:*:clerk:nine", "::::",
	}, "\n"), 0o600)
	for role, want := range map[string]string{
		"clerk": "h:5432:*:clerk:one\n" + `h:5432:d\:b:clerk:th\:ree` + "\n*:*:*:*:six:seven\n",
		"boss":  "*:*:*:boss:two\n*:*:*:*:six:seven\n",
	} {
		l, err := NewLogin(&Config{Conninfo: "host=h user=u passfile=" + path}, connector(units.Connection{Role: role}), nil)
		if err != nil || len(l.Files) != 1 || string(l.Files[0].Content) != want {
			t.Errorf("%s gets %+v, %v, not %q", role, l, err, want)
		}
	}
	if l, err := NewLogin(&Config{Conninfo: "host=h user=u passfile=/nosuch"}, connector(units.Connection{}), nil); err != nil || strings.Contains(environ(l), "PASS") {
		t.Errorf("a file that is not there: %v, %v", l, err)
	}
	l, err := NewLogin(&Config{Conninfo: "host=/run/x user=clerk passfile=" + path}, connector(units.Connection{}), nil)
	if err != nil || !strings.Contains(string(l.Files[0].Content), "eight") || strings.Contains(string(l.Files[0].Content), "one") {
		t.Errorf("a local server: %+v, %v", l, err)
	}
}

// TestSecretsRefused: a secret that others can read, or that libpq could not
// use, is refused, and the refusal names the file and never quotes it.
func TestSecretsRefused(t *testing.T) {
	clearPG(t)
	cert, key := pair(t)
	encrypted := "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	password := func(path string) units.Connection { return units.Connection{PasswordFile: path} }
	certified := func(cert, key string) units.Connection {
		return units.Connection{CertificateFile: cert, KeyFile: key}
	}
	certFile, keyFile := put(t, "c", cert, 0o644), put(t, "k", key, 0o600)
	for _, tt := range []struct {
		c    units.Connection
		want string
	}{
		{password(put(t, "p", "geheim", 0o604)), "chmod o="},
		{password(put(t, "p", "geheim", 0o620)), "chmod g-w"},
		{password(put(t, "p", "", 0o600)), "empty"},
		{password(put(t, "p", "\ngeheim", 0o600)), "empty"},
		{password(put(t, "p", "geheim\nmehr", 0o600)), "more than one line"},
		{password(put(t, "p", "geheim\x00", 0o600)), "NUL"},
		{password(put(t, "p", strings.Repeat("geheim", 1000), 0o600)), "4096"},
		{password(put(t, "p", strings.Repeat("geheim", 20000), 0o600)), "65536"},
		{password("/nosuch/file"), "no such file"},
		{password(t.TempDir()), "regular file"},
		{password(fifo), "regular file"},
		{password("/dev/zero"), "regular file"},
		{certified(certFile, put(t, "k", key, 0o644)), "chmod o="},
		{certified(certFile, put(t, "k", encrypted, 0o600)), "encrypted"},
		{certified(certFile, put(t, "k", "geheim", 0o600)), "not in PEM"},
		{certified(certFile, put(t, "k", cert, 0o600)), "private key"},
		{certified(keyFile, keyFile), "name the file of the certificate"},
		{certified("/nosuch/file", keyFile), "no such file"},
	} {
		_, err := NewLogin(&Config{Conninfo: "user=u"}, connector(tt.c), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "/") {
			t.Errorf("%+v: %v, want %q", tt.c, err, tt.want)
		}
	}
	for _, c := range []units.Connection{
		password(put(t, "p", "geheim", 0o400)), password(put(t, "p", "geheim\r\n\n", 0o640)), // the group is ours
		certified(certFile, keyFile),
	} {
		if _, err := NewLogin(&Config{Conninfo: "user=u"}, connector(c), nil); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, tt := range []struct {
		uid, gid, mode uint32
		ok             bool
	}{{7, 8, 0o600, true}, {0, 8, 0o640, true}, {0, 9, 0o640, false}, {9, 8, 0o600, false}, {0, 8, 0o660, false}, {7, 8, 0o601, false}} {
		if err := judgeSecret(&unix.Stat_t{Uid: tt.uid, Gid: tt.gid, Mode: tt.mode}, 7, 8); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestPassed: a secret that this process was started with is read from its
// beginning each time, and judged as any other.
func TestPassed(t *testing.T) {
	clearPG(t)
	passed := Passed{}
	for name, path := range map[string]string{"good": put(t, "p", "geheim", 0o600), "open": put(t, "p", "geheim", 0o644), "none": "/dev/null"} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		passed[name] = f
	}
	for range 2 {
		l, err := NewLogin(nil, connector(units.Connection{PasswordFile: "fd:good"}), passed)
		if err != nil || len(l.Files) != 1 || string(l.Files[0].Content) != "*:*:*:*:geheim\n" {
			t.Errorf("%+v, %v", l, err)
		}
	}
	for name, want := range map[string]string{"open": "chmod o=", "none": "regular file", "other": "OpenFile=/PATH:other"} {
		if _, err := NewLogin(nil, connector(units.Connection{PasswordFile: "fd:" + name}), passed); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMemfd: what a worker gets is as libpq wants it and cannot be changed.
func TestMemfd(t *testing.T) {
	f := LoginFile{Name: "passfile", Content: []byte("x\n")}
	uids := []uint32{uint32(os.Geteuid())}
	if os.Geteuid() == 0 {
		uids = append(uids, 65534)
	}
	for _, uid := range uids {
		fd, err := f.Memfd(uid)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		path := fmt.Sprintf("/proc/self/fd/%d", fd)
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Mode != unix.S_IFREG|0o600 || st.Uid != uid {
			t.Errorf("%v, mode %o, user %d; want a regular file of mode 600 of user %d", err, st.Mode, st.Uid, uid)
		}
		for range 2 { // each reader has a position of its own
			if text, err := os.ReadFile(path); string(text) != "x\n" {
				t.Errorf("%q, %v", text, err)
			}
		}
		if _, err := unix.Write(fd, []byte("y")); err != unix.EPERM {
			t.Errorf("it can be written: %v", err)
		}
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Error("every child of this process would inherit it")
		}
	}
}

// pair makes a certificate for the role "clerk" and its key.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clerk"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// TestLoginInterruptible: the session of a worker that may be asked to leave
// its database goes with its process; what the definition says comes last, and
// its environment counts instead.
func TestLoginInterruptible(t *testing.T) {
	clearPG(t)
	for _, tt := range []struct{ options, env, want string }{
		{"", "", leaveOption},
		{"-c a=b", "", leaveOption + " -c a=b"},
		{"-c a=b", "-c c=d", "-c c=d"},
	} {
		w := connector(units.Connection{Options: tt.options})
		w.Flags |= units.Interruptible
		if tt.env != "" {
			w.Environment = map[string]string{"PGOPTIONS": tt.env}
		}
		l, err := NewLogin(nil, w, nil)
		if err != nil || l.Env["PGOPTIONS"] != tt.want {
			t.Errorf("%+v: %q, %v", tt, l.Env["PGOPTIONS"], err)
		}
	}
}
