package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// missingHeaders is "" if modules of a PostgreSQL release can be built here,
// else why not.
func missingHeaders(major int) string {
	dir, err := serverHeaders(major)
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "postgres.h"))
	}
	if err != nil {
		return fmt.Sprintf("no server headers (package postgresql-server-dev-%d)", major)
	}
	return ""
}

func serverHeaders(major int) (string, error) {
	out, err := exec.Command(filepath.Join(serverBin(major), "pg_config"), "--includedir-server").Output()
	if err != nil {
		return "", fmt.Errorf("cannot run pg_config of PostgreSQL %d: %w", major, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// module is the file that a source of c/ becomes for a release: one file for
// everybody who loads it, inside of a server or beside it.
func (b *lab) module(source string, major int) string {
	return b.path(fmt.Sprintf("%s-%d.so", strings.TrimSuffix(source, ".c"), major))
}

// coldCopy is a module once more, in a file that nobody preloads.
func coldCopy(module string) string { return strings.TrimSuffix(module, ".so") + "-cold.so" }

// makeModule compiles it against the release's headers, and its copy, if they
// are not there yet.
func (b *lab) makeModule(ctx context.Context, source string, major int) error {
	file := b.module(source, major)
	if _, err := os.Stat(coldCopy(file)); err == nil {
		return nil
	}
	headers, err := serverHeaders(major)
	if err != nil {
		return err
	}
	if err := b.cc(ctx, filepath.Base(file), source, "-fPIC", "-shared", "-I"+headers); err != nil {
		return err
	}
	code, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(coldCopy(file), code, 0o755)
}
