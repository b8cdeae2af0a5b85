package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pg-bgw/pg-bgw/cmd/pg-bgwctl/module"
	"github.com/spf13/cobra"
)

const moduleCheckLong = `Say of PostgreSQL modules whether the service can load them, and what of the server they
would miss: without running anything of them, without the service and without a server.

What a module needs of the server is
  provided    there, as in the server;
  a stub      a function that can be named but not called: that raises FATAL with
              its name, and ends the worker;
  impossible  data of the server: the module cannot be loaded;
  missing     defined nowhere, neither by that release nor by a library: the same.
Symbols of other libraries are left out. The magic block has to fit the release,
which is that of the module unless --postgresql names another.

The exit code is 0 for a module that can be loaded, also where stubs are among what it
needs: only who knows the module can tell whether its worker calls them. It is 1 for one
that cannot be loaded, or of which that cannot be told.`

type moduleFlags struct {
	release   int
	libraries string
	all       bool
}

func newModule(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "module COMMAND",
		Short: "Look into PostgreSQL modules",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(c, args[0])
			}
			return misused(c, "module: a command is missing: check")
		},
	}
	cmd.AddCommand(newModuleCheck(a))
	return cmd
}

func newModuleCheck(a *app) *cobra.Command {
	var f moduleFlags
	cmd := &cobra.Command{
		Use:     "check FILE...",
		Short:   "Say whether PostgreSQL modules can be loaded, and what they would miss",
		Long:    moduleCheckLong,
		Example: "  pg-bgwctl module check /usr/lib/postgresql/15/lib/pg_partman_bgw.so\n  pg-bgwctl --json=short module check my.so | jq '.[].stubs'",
		Args:    between(1, -1, "the file of a module"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"so"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("postgresql") && f.release <= 0 {
				return misused(c, fmt.Sprintf("--postgresql=%d is no major release", f.release))
			}
			return a.moduleCheck(args, f)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.release, "postgresql", 0, "the major release to hold it against (default: that it was built for)")
	flags.StringVar(&f.libraries, "libraries", libraryDir(), "where libpgbgw-pgNN.so and libpgbgw-pgNN.symbols are")
	flags.BoolVarP(&f.all, "all", "a", false, "name what is provided as well")
	_ = cmd.RegisterFlagCompletionFunc("postgresql", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, n := range module.Releases(f.libraries) {
			out = append(out, strconv.Itoa(n))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.MarkFlagDirname("libraries")
	return cmd
}

// libraryDir is where the service finds the libraries of releases: beside the launcher, which is beside this program as
// long as that is not installed.
func libraryDir() string {
	if self, err := os.Executable(); err == nil {
		dir := filepath.Dir(self)
		if info, err := os.Stat(filepath.Join(dir, "pg-bgw-launcher")); err == nil && info.Mode().IsRegular() {
			return dir
		}
	}
	return "/usr/lib/pg-bgw"
}

// moduleCheck checks each file; one that cannot be read does not keep the others from it.
func (a *app) moduleCheck(paths []string, f moduleFlags) error {
	worst := codeOK
	reports := []*module.Report{}
	releases := map[int]*module.Release{}
	for _, path := range paths {
		r, err := checkModule(path, f, releases)
		if err != nil {
			worst = max(worst, a.report(err))
			continue
		}
		if r.Verdict != module.Loads {
			worst = max(worst, codeFailed)
		}
		reports = append(reports, r)
	}
	var err error
	switch {
	case a.wantsJSON():
		err = a.writeJSON(reports)
	default:
		err = a.writeModules(reports, f.all)
	}
	if err != nil {
		return err
	}
	return ended(worst)
}

func checkModule(path string, f moduleFlags, releases map[int]*module.Release) (*module.Report, error) {
	file, err := module.Open(path)
	if err != nil {
		hint := ""
		if _, statErr := os.Stat(path); os.IsNotExist(statErr) && !strings.Contains(path, "/") {
			hint = "name the file, as in: pg-bgwctl module check \"$(pg_config --pkglibdir)\"/" + strings.TrimSuffix(path, ".so") + ".so"
		}
		return nil, &failure{code: codeFailed, text: err.Error(), hint: hint}
	}
	major := f.release
	if major == 0 {
		major = file.Release()
	}
	r := releases[major]
	if r == nil {
		if r, err = module.OpenRelease(f.libraries, major); err != nil {
			return nil, &failure{code: codeFailed, text: fmt.Sprintf("cannot check %s: %v", path, err),
				hint: "a release has a library where its server headers (postgresql-server-dev-NN) were there when pg-bgw was built; --libraries=DIR names another place, --postgresql=NN another release"}
		}
		releases[major] = r
	}
	return module.Check(file, r), nil
}

// verdictStyles are the colours of verdicts, verdictWords what they say.
var (
	verdictStyles = map[module.Verdict]style{module.Loads: good, module.Refused: bad, module.Unknown: waiting}
	verdictWords  = map[module.Verdict]string{
		module.Loads: "can be loaded", module.Refused: "cannot be loaded", module.Unknown: "whether it can be loaded cannot be told",
	}
)

// writeModules writes reports for a reader, with an empty line between two.
func (a *app) writeModules(reports []*module.Report, all bool) error {
	out := bufio.NewWriter(a.out)
	fit := a.screen.fit
	if a.full {
		fit = func(text string, _ int) string { return text }
	}
	for i, r := range reports {
		if a.quiet {
			break // the exit code says it
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s: %s\n", safe(r.File), a.screen.paint(verdictStyles[r.Verdict], verdictWords[r.Verdict]))
		line := func(title, text string) {
			fmt.Fprintf(out, "%12s: %s\n", title, fit(safe(text), 14))
		}
		for _, f := range r.Faults {
			fmt.Fprintf(out, "%12s: %s\n", "Fault", safe(f)) // whole: it is what to mend
		}
		line("Release", fmt.Sprintf("PostgreSQL %d, %s", r.PostgreSQL, r.Library))
		line("Magic block", magicText(r))
		names := func(title, what string, symbols []string, show bool) {
			line(title, fmt.Sprintf("%d%s", len(symbols), what))
			for _, s := range symbols {
				if show {
					fmt.Fprintf(out, "%14s%s\n", "", safe(s))
				}
			}
		}
		names("Provided", "", r.Provided, all)
		names("Stubs", when(len(r.Stubs) > 0, ", each of which raises FATAL when it is called"), r.Stubs, true)
		names("Impossible", "", r.Impossible, true)
		names("Missing", "", r.Missing, true)
	}
	return out.Flush()
}

func when(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func magicText(r *module.Report) string {
	switch r.Magic {
	case module.MagicMissing:
		return "none"
	case module.MagicUnknown:
		return "cannot be found without running the module"
	}
	text := fmt.Sprintf("%s: PostgreSQL %s, FUNC_MAX_ARGS %d, INDEX_MAX_KEYS %d, NAMEDATALEN %d, FLOAT8PASSBYVAL %d", map[string]string{module.MagicFits: "fits", module.MagicDiffers: "does not fit"}[r.Magic],
		r.Block.Release(), r.Block.FuncMaxArgs, r.Block.IndexMaxKeys, r.Block.NameDataLen, r.Block.Float8ByVal)
	if r.Block.ABI != "" {
		text += fmt.Sprintf(", ABI %q", r.Block.ABI)
	}
	return text
}
