package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// built is a program that is built from this checkout.
func (p *pgbgw) built(elem ...string) string {
	return p.lab.path(append([]string{"built"}, elem...)...)
}

// compile builds the two programs, once for all ways.
func (p *pgbgw) compile(ctx context.Context) error {
	if _, err := os.Stat(p.built("pg-bgw-launcher")); err == nil {
		return nil
	}
	if err := os.MkdirAll(p.built(""), 0o755); err != nil {
		return err
	}
	for _, c := range [][]string{
		{"go", "build", "-trimpath", "-o", p.built("pg-bgwd"), "./cmd/pg-bgwd"},
		{"sh", "cmd/pg-bgw-launcher/build.sh", p.built("pg-bgw-launcher")},
	} {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build: %v: %w\n%s", c, err, out)
		}
	}
	return nil
}

// compileMember builds the member in C, with the C library of this checkout.
func (p *pgbgw) compileMember(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "sh", "contrib/libpgbgw/build.sh", p.built("libpgbgw")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot build libpgbgw: %w\n%s", err, out)
	}
	return p.lab.cc(ctx, filepath.Join("built", "member"), "member.c", "-pthread", "-Icontrib/libpgbgw", p.built("libpgbgw", "libpgbgw.a"))
}
