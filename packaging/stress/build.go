package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// members are the programs that a ring is made of.
type members struct {
	names    []string
	programs []string
}

func (m *members) add(name, program string) {
	m.names = append(m.names, name)
	m.programs = append(m.programs, program)
}

// builder builds into a directory from a checkout.
type builder struct {
	ctx context.Context
	dir string
	opt options
}

const ringSource = "contrib/workers/ring"

// all builds the daemon, the driver and the members. A language that this
// machine cannot build for is an error.
func (b *builder) all() (m members, err error) {
	for _, source := range []string{"cmd/pg-bgwd", ringSource, ringSource + "/ring-member"} {
		if err := b.goProgram(source); err != nil {
			return m, err
		}
	}
	launcher := filepath.Join(b.dir, "pg-bgw-launcher")
	if err := b.command("sh", "cmd/pg-bgw-launcher/build.sh", launcher); err != nil {
		return m, err
	}
	m.add("Go", filepath.Join(b.dir, "ring-member"))
	python, err := b.pythonMember()
	if err != nil {
		return m, err
	}
	m.add("Python", python)
	c, err := b.cMember()
	if err != nil {
		return m, err
	}
	m.add("C", c)
	return m, nil
}

func (b *builder) goProgram(source string) error {
	args := []string{"build", "-o", filepath.Join(b.dir, filepath.Base(source))}
	if b.opt.race {
		args = append(args, "-race")
	}
	return b.command("go", append(args, "./"+source)...)
}

// pythonMember is a script that finds the package of this checkout.
func (b *builder) pythonMember() (string, error) {
	root, err := filepath.Abs(b.opt.source)
	if err != nil {
		return "", err
	}
	if err := b.command("python3", "-c", `import sys, ctypes; assert sys.version_info >= (3, 11); ctypes.CDLL("libatomic.so.1")`); err != nil {
		return "", err
	}
	program := filepath.Join(b.dir, "ring-member.sh")
	text := fmt.Sprintf("#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH='%s/contrib/python' exec python3 -W error '%s/%s/ring-member.py'\n", root, root, ringSource)
	return program, os.WriteFile(program, []byte(text), 0o755)
}

// cMember is the member in C, with sanitizers in it and in the library.
func (b *builder) cMember() (string, error) {
	const sanitize = "-fsanitize=address,undefined"
	library, program := filepath.Join(b.dir, "libpgbgw"), filepath.Join(b.dir, "ring-member-c")
	if err := b.command("sh", "contrib/libpgbgw/build.sh", library, sanitize, "-fno-sanitize-recover=all", "-g"); err != nil {
		return "", err
	}
	return program, b.command("cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-pthread", sanitize, "-fno-sanitize-recover=all",
		"-Icontrib/libpgbgw", "-o", program, ringSource+"/c/ring-member.c", library+"/libpgbgw.a")
}

func (b *builder) command(name string, args ...string) error {
	c := exec.CommandContext(b.ctx, name, args...)
	c.Dir = b.opt.source
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build: %s %v: %w\n%s", name, args, err, out)
	}
	return nil
}
