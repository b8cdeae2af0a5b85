package main

import (
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestStress is the short version: ten seconds of rings in all languages, with
// kills.
func TestStress(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	for _, program := range []string{"cc", "python3"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is needed: %v", program, err)
			}
			t.Skipf("%s is needed: %v", program, err)
		}
	}
	info, _ := debug.ReadBuildInfo()
	race := info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
	t.Setenv("TMPDIR", t.TempDir())
	var out strings.Builder
	err := run(t.Context(), &out, options{duration: 10 * time.Second, kills: true, race: race, source: "../.."})
	if err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "members: [Go Python C]") {
		t.Errorf("not all languages:\n%s", out.String())
	}
	t.Log(out.String())
}

// TestRecord: the counts of all processes of the driver are added up, and what
// a sanitizer says is found, also in pieces.
func TestRecord(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := &record{file: file}
	for _, piece := range []string{
		"msg=\"stress: 1 rings, 0 of them broken, 10 messages\"\nmsg=\"stress: 2 rings, 1 of them bro", "ken, 15 messages\"\n",
		"msg=\"stress: 1 rings, 0 of them broken, 4 messages\"\nmsg=\"segment renewed\"\n",
	} {
		if _, err := r.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if rings, messages := r.progress(); rings != 3 || messages != 19 || r.renewals() != 1 || r.wrong() != "" {
		t.Errorf("%d rings, %d messages, %d renewals, %q", rings, messages, r.renewals(), r.wrong())
	}
	if _, err := r.Write([]byte("==1==ERROR: AddressSanitizer: heap\n")); err != nil || r.wrong() == "" {
		t.Error("a sanitizer's words are not found")
	}
}
