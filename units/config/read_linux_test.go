package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const sleeper = `worker "%s" {
  command      = ["/bin/sleep", "1"]
  flags        = ["shmem_access"]
  restart_time = "10s"
}
`

func workerText(label string) string { return strings.Replace(sleeper, "%s", label, 1) }

// dirs makes directories that pass for ours, whatever the umask.
func dirs(t *testing.T, n int) []string {
	t.Helper()
	ds := make([]string, n)
	for i := range ds {
		ds[i] = t.TempDir()
		if err := os.Chmod(ds[i], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return ds
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func labels(c *Config) []string {
	var ls []string
	if c != nil {
		for _, w := range c.Workers {
			ls = append(ls, w.Label)
		}
	}
	return ls
}

func TestSearchPath(t *testing.T) {
	ds := dirs(t, 3)
	etc, run, lib := ds[0], ds[1], ds[2]
	write(t, lib, "10-replaced.hcl", workerText("from-lib"))
	write(t, lib, "20-lib.hcl", workerText("lib"))
	write(t, lib, "30-masked.hcl", workerText("masked"))
	write(t, lib, "40-emptied.hcl", "not even valid")
	write(t, run, "10-replaced.hcl", "neither {")
	write(t, run, "05-run.hcl.json", `{"worker": {"run": {"command": ["/bin/sleep"], "flags": ["shmem_access"], "restart_time": 1}}}`)
	write(t, etc, "10-replaced.hcl", workerText("from-etc"))
	write(t, etc, "40-emptied.hcl", "")
	if err := os.Symlink("/dev/null", filepath.Join(etc, "30-masked.hcl")); err != nil {
		t.Fatal(err)
	}
	for _, ignored := range []string{".x.hcl", "x.hcl~", "x.hcl.dpkg-old", "x.hcl.json.dpkg-dist", "x.hcl.rpmsave", "x.hcl.rpmnew", "x.json", "README", "x.hcl.example", "#x.hcl#"} {
		write(t, etc, ignored, "neither {")
	}
	link := filepath.Join(dirs(t, 1)[0], "elsewhere")
	write(t, filepath.Dir(link), "elsewhere", workerText("linked"))
	if err := os.Symlink(link, filepath.Join(etc, "50-link.hcl")); err != nil {
		t.Fatal(err)
	}

	c, diags := Load(Paths{Main: filepath.Join(etc, "none.hcl"), Workers: []string{etc, run, filepath.Join(lib, "none"), lib}}, Options{})
	if diags.Len() != 0 {
		t.Fatal(diags.Err())
	}
	want := []string{"run", "from-etc", "lib", "linked"}
	if got := labels(c); !slices.Equal(got, want) {
		t.Errorf("workers %q, want %q: the order is that of the names", got, want)
	}
	if !reflect.DeepEqual(c.Settings, DefaultSettings()) {
		t.Errorf("settings without a main file: %+v", c.Settings)
	}
	if got, want := c.Origin("lib"), filepath.Join(lib, "20-lib.hcl")+":1"; got != want {
		t.Errorf("Origin: %q, want %q", got, want)
	}
}

func TestRequired(t *testing.T) {
	none := filepath.Join(dirs(t, 1)[0], "none")
	for name, p := range map[string]Paths{
		"main":      {Main: none, MainRequired: true},
		"directory": {Workers: []string{none}, WorkersRequired: true},
		"file":      {Files: []string{none}},
	} {
		t.Run(name, func(t *testing.T) {
			c, diags := Load(p, Options{})
			if err := diags.Err(); c != nil || err == nil || !strings.Contains(err.Error(), none) {
				t.Errorf("a missing file was accepted: %v", err)
			}
		})
	}
	if _, diags := Load(Paths{Main: none, Workers: []string{none}}, Options{}); diags.Len() != 0 {
		t.Errorf("a missing file that is not required: %v", diags.Err())
	}
	if _, diags := Load(Paths{Main: "/dev/null", MainRequired: true, Files: []string{"/dev/null"}}, Options{}); diags.Len() != 0 {
		t.Errorf("/dev/null is no empty file: %v", diags.Err())
	}
}

// hostileFiles put something at path, in dir, of which Load must say why not.
var hostileFiles = []struct {
	name, want string
	put        func(t *testing.T, dir, path string)
}{
	{"directory", "it is a directory, not a file", func(t *testing.T, dir, path string) {
		check(t, os.Mkdir(path, 0o755))
	}},
	{"fifo", "it is a FIFO, not a file", func(t *testing.T, dir, path string) {
		check(t, unix.Mkfifo(path, 0o600))
	}},
	{"fifo behind a link", "it is a FIFO, not a file", func(t *testing.T, dir, path string) {
		fifo := filepath.Join(dir, "fifo")
		check(t, unix.Mkfifo(fifo, 0o600))
		check(t, os.Symlink(fifo, path))
	}},
	{"endless device", "it is a device, not a file", func(t *testing.T, dir, path string) {
		check(t, os.Symlink("/dev/zero", path))
	}},
	{"socket", "it is a socket, not a file", func(t *testing.T, dir, path string) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		check(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		t.Chdir(dir) // an address has room for 107 bytes
		check(t, unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Base(path)}))
	}},
	{"loop of links", "its links lead in a circle", func(t *testing.T, dir, path string) {
		check(t, os.Symlink(path, filepath.Join(dir, "other")))
		check(t, os.Symlink(filepath.Join(dir, "other"), path))
	}},
	{"link to nothing", "no such file or directory", func(t *testing.T, dir, path string) {
		check(t, os.Symlink(filepath.Join(dir, "nothing"), path))
	}},
	{"group-writable", `it can be written by its group (mode 0664); take that away with "chmod go-w"`, func(t *testing.T, dir, path string) {
		check(t, os.Chmod(write(t, dir, filepath.Base(path), ""), 0o664))
	}},
	{"world-writable", "it can be written by everybody (mode 0666)", func(t *testing.T, dir, path string) {
		check(t, os.Chmod(write(t, dir, filepath.Base(path), ""), 0o666))
	}},
	{"10 MB", "it is larger than 256 KiB; split it", func(t *testing.T, dir, path string) {
		write(t, dir, filepath.Base(path), strings.Repeat("# comment\n", 1<<20))
	}},
	{"endless file of proc", "", func(t *testing.T, dir, path string) { // size 0, but not empty
		check(t, os.Symlink("/proc/self/maps", path))
	}},
	{"name that cannot be shown", "its name has bytes that cannot be shown", func(t *testing.T, dir, path string) {
		write(t, dir, "a\x1b[2J.hcl", "")
	}},
}

// TestHostileFiles puts in the place of a file what could block, be somebody
// else's or have no end. Each is refused for its own reason.
func TestHostileFiles(t *testing.T) {
	for _, tt := range hostileFiles {
		t.Run(tt.name, func(t *testing.T) {
			dir := dirs(t, 1)[0]
			tt.put(t, dir, filepath.Join(dir, "10-x.hcl"))
			write(t, dir, "20-bad.hcl", "nonsense = 1\n")
			c, diags := Load(Paths{Workers: []string{dir}}, Options{})
			if c != nil {
				t.Fatal("accepted")
			}
			if err := diags.Err(); !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if last := diags.List()[diags.Len()-1]; last.Summary != "Unsupported argument" {
				t.Errorf("the file after it was not judged: %+v", last)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHostileDirectories(t *testing.T) {
	ds := dirs(t, 4)
	check(t, os.Chmod(ds[0], 0o777))
	check(t, unix.Chmod(ds[1], 0o1777))
	file := write(t, ds[2], "file", "")
	fifo := filepath.Join(ds[2], "fifo")
	check(t, unix.Mkfifo(fifo, 0o600))
	loop := filepath.Join(ds[2], "loop")
	check(t, os.Symlink(loop, loop))
	link := filepath.Join(ds[2], "link")
	check(t, os.Symlink(ds[3], link))
	for path, want := range map[string]string{
		ds[0]: "it can be written by everybody (mode 0777)",
		ds[1]: "it can be written by everybody (mode 1777)",
		file:  "it is not a directory",
		fifo:  "it is not a directory",
		loop:  "its links lead in a circle",
		link:  "",
	} {
		c, diags := Load(Paths{Workers: []string{path}}, Options{})
		if want == "" {
			if c == nil {
				t.Errorf("%s: %v", path, diags.Err())
			}
			continue
		}
		if err := diags.Err(); c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestJudgeOwner needs no root: it judges what fstat would say.
func TestJudgeOwner(t *testing.T) {
	for _, tt := range []struct {
		uid  uint32
		mode uint32
		euid int
		ok   bool
	}{
		{0, 0o644, 0, true},
		{0, 0o644, 998, true},
		{998, 0o600, 998, true},
		{998, 0o644, 0, false}, // root does not obey a user
		{1000, 0o644, 998, false},
		{0, 0o664, 0, false},
		{0, 0o646, 0, false},
		{998, 0o620, 998, false},
	} {
		st := &unix.Stat_t{Uid: tt.uid, Mode: unix.S_IFREG | tt.mode}
		if err := judgeFile(st, tt.euid); (err == nil) != tt.ok {
			t.Errorf("uid %d, mode %o, read by %d: %v", tt.uid, tt.mode, tt.euid, err)
		}
	}
}

func TestNoDescriptorIsLeft(t *testing.T) {
	dir := dirs(t, 1)[0]
	write(t, dir, "a.hcl", workerText("a"))
	check(t, unix.Mkfifo(filepath.Join(dir, "b.hcl"), 0o600))
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		check(t, err)
		return len(entries)
	}
	before := count()
	for range 50 {
		Load(Paths{Main: filepath.Join(dir, "a.hcl"), Workers: []string{dir}, Files: []string{"/dev/zero", dir}}, Options{})
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestTooMany(t *testing.T) {
	dir := dirs(t, 1)[0]
	for i := range maxFiles + 1 {
		write(t, dir, fmt.Sprintf("%04d.hcl", i), "")
	}
	if c, diags := Load(Paths{Workers: []string{dir}}, Options{}); c != nil || !strings.Contains(diags.Err().Error(), "more than 1024 files") {
		t.Errorf("%v", diags.Err())
	}
	large := dirs(t, 1)[0]
	for i := range maxTotal/maxFileSize + 1 {
		write(t, large, fmt.Sprintf("%04d.hcl", i), strings.Repeat("#\n", maxFileSize/2))
	}
	if c, diags := Load(Paths{Workers: []string{large}}, Options{}); c != nil || !strings.Contains(diags.Err().Error(), "more than 16 MiB") {
		t.Errorf("%v", diags.Err())
	}
}

// TestReplacedWhileRead: a file that changes into a FIFO and back blocks
// nobody, whichever of the two is met.
func TestReplacedWhileRead(t *testing.T) {
	dir := dirs(t, 1)[0]
	good := write(t, dir, "good", workerText("a"))
	fifo := filepath.Join(dir, "fifo")
	check(t, unix.Mkfifo(fifo, 0o644))
	path := filepath.Join(dir, "a.hcl")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			target := []string{good, fifo}[i%2]
			_ = os.Remove(filepath.Join(dir, "next"))
			_ = os.Symlink(target, filepath.Join(dir, "next"))
			_ = os.Rename(filepath.Join(dir, "next"), path)
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		c, diags := Load(Paths{Files: []string{path}}, Options{})
		if c != nil && len(c.Workers) != 1 || c == nil && diags.Err() == nil {
			t.Fatalf("%v", diags.Err())
		}
	}
}
