package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/cmd/pg-bgwctl/module"
)

// TestModuleReport holds what a reader sees of reports to golden files, on a terminal of 60 columns and in a file.
func TestModuleReport(t *testing.T) {
	block := &module.Magic{Length: 56, Version: 1500, FuncMaxArgs: 100, IndexMaxKeys: 32, NameDataLen: 64, Float8ByVal: 1, ABI: "PostgreSQL"}
	library := "/usr/lib/pg-bgw/libpgbgw-pg15.so"
	reports := []*module.Report{
		{File: "cron.so", Verdict: module.Loads, PostgreSQL: 15, Library: library, Magic: module.MagicFits, Block: block,
			Provided: []string{"SPI_connect", "WaitLatch"}, Stubs: []string{"heap_open\x1b[31m", "index_open"}},
		{File: "dir/\x1b[2Jhooks.so", Verdict: module.Refused, PostgreSQL: 15, Library: library, Magic: module.MagicDiffers,
			Block:      &module.Magic{Length: 24, Version: 1400, FuncMaxArgs: 100, IndexMaxKeys: 32, NameDataLen: 64, Float8ByVal: 1},
			Faults:     []string{"the magic block does not fit: it was built for PostgreSQL 14, the library is for 15", "it needs data"},
			Impossible: []string{"ExecutorRun_hook"}, Missing: []string{"nosuch"}},
		{File: "plain.so", Verdict: module.Refused, PostgreSQL: 15, Library: library, Magic: module.MagicMissing, Faults: []string{"there is no magic block"}},
		{File: "made.so", Verdict: module.Unknown, PostgreSQL: 15, Library: library, Magic: module.MagicUnknown},
	}
	for _, width := range []int{0, 60} {
		var out strings.Builder
		a := &app{out: &out, screen: screen{width: width, unicode: true}}
		if err := a.writeModules(reports, width == 0); err != nil {
			t.Fatal(err)
		}
		golden(t, fmt.Sprintf("module-%d.txt", width), out.String())
	}
}
