package module

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestNoModule has every kind of file named for what it is.
func TestNoModule(t *testing.T) {
	w := newWorkshop(t)
	good, err := os.ReadFile(w.cc("good.so", module("void f(void); void m(void) { f(); }")))
	if err != nil {
		t.Fatal(err)
	}
	// patched changes some bytes of the module.
	patched := func(name string, at int, with ...byte) string {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return w.write(name, string(b))
	}
	if err := syscall.Mkfifo(w.path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		w.path("nosuch"):                             "cannot check " + w.path("nosuch") + ": no such file or directory",
		w.dir:                                        "it is a directory",
		w.path("pipe"):                               "it is no regular file",
		"/dev/zero":                                  "it is no regular file",
		w.write("empty", ""):                         "it is empty",
		w.write("short", "\x7fEL"):                   "it is no ELF file",
		w.write("text", "#!/bin/sh\n"):               "it is no ELF file",
		w.write("m.a", "!<arch>\nm.o/"):              "it is a static archive",
		w.write("m.bc", "BC\xc0\xde\x35\x14"):        "it is LLVM bitcode",
		w.cc("m.o", module(""), "-c"):                "it is an object file",
		w.cc("pie", "int main() {}", "-pie"):         "it is a program",
		w.cc("program", "int main() {}", "-no-pie"):  "it is a program",
		w.write("header", string(good[:64])):         "it is damaged",
		w.write("half", string(good[:len(good)/2])):  "it is damaged",
		patched("machine", 18, 8, 0):                 "it is for another machine: EM_MIPS",
		patched("class", 4, 1):                       "it is ",
		patched("core", 16, 4, 0):                    "it is no shared library but of type ET_CORE",
		patched("sections", 40, make([]byte, 24)...): "its section headers were removed",
	} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

// TestDamaged changes bytes of a module by chance: whatever comes out is a report or an error, and soon.
func TestDamaged(t *testing.T) {
	w := newWorkshop(t)
	r := w.release()
	good, err := os.ReadFile(w.cc("good.so", module("void f(void); extern int d; int m(void) { f(); return d; }")))
	if err != nil {
		t.Fatal(err)
	}
	sections := int(binary.LittleEndian.Uint64(good[40:]))
	random := rand.New(rand.NewPCG(1, 2))
	read15, failed := 0, 0
	for range 5000 {
		b := bytes.Clone(good)
		for range 1 + random.IntN(3) {
			at := random.IntN(0x1000) // headers, dynamic symbols, versions
			if random.IntN(2) == 0 {
				at = sections + random.IntN(len(b)-sections)
			}
			b[at] = byte(random.Uint32())
		}
		if f, err := read("damaged.so", bytes.NewReader(b), true); err == nil {
			Check(&File{Path: f.Path, needs: f.needs, exports: f.exports, magic: f.magic}, r) // without other libraries of it
			read15++
		} else {
			failed++
		}
	}
	if read15 == 0 || failed == 0 {
		t.Errorf("%d were read, %d not", read15, failed)
	}
}

func TestCache(t *testing.T) {
	w := newWorkshop(t)
	cache := readCache(linkerCache)
	if len(cache["libc.so.6"]) == 0 && exists("/lib/x86_64-linux-gnu/libc.so.6") && exists(linkerCache) {
		t.Errorf("the linker's cache names no C library, but %d others", len(cache))
	}
	for _, text := range []string{"", "ld.so-1.7.0", cacheMagic, cacheMagic + strings.Repeat("\xff", 28), cacheMagic + strings.Repeat("\xff", 1000)} {
		for name, paths := range readCache(w.write("cache", text)) {
			if name != "" || strings.Join(paths, "") != "" {
				t.Errorf("%q: %q %q", text, name, paths)
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
