package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/config"
	"github.com/pg-bgw/pg-bgw/units/server"
	"github.com/spf13/cobra"
)

// connectVerb is the hidden command as which this program runs itself as another user: the login to try is on standard
// input, where nobody else sees it, and what came of it goes to standard output.
const connectVerb = "_connect"

// maxTries is how many logins are tried at a time: a server that is short of connections is not to be tipped over.
const maxTries = 4

// A login is one way into a server, and who goes it.
type login struct {
	Who    []string // "worker \"a\"", in the order of the files
	Origin string   // "FILE:LINE" of the first; "" for a server's own
	Server config.Server
	Worker *units.Worker // nil: the server's own session
	User   string        // system user; "" for the service's
	Made   *server.Login // by the service's user, who can read the secrets; nil: not yet
}

// A tried is what came of a login.
type tried struct {
	Trial  server.Trial
	Remedy []string
}

// connections tries all logins of c and prints what came of them, unless as JSON. The failures are returned.
func (a *app) connections(c *config.Config, o config.Options) ([]config.Diagnostic, error) {
	logins, open := loginsOf(c)
	service := o.User
	if o.MultiUser {
		service = "root"
	}
	var failures []config.Diagnostic
	if len(logins) > 0 {
		outcomes, err := connectAs(service, logins)
		if err != nil {
			return nil, err
		}
		for i, got := range outcomes {
			d := diagnose(&logins[i], got)
			if d != nil {
				failures = append(failures, *d)
			}
			if err := a.printLogin(&logins[i], got, d); err != nil {
				return nil, err
			}
		}
	}
	if a.wantsJSON() || a.quiet {
		return failures, nil
	}
	for _, text := range open {
		fmt.Fprintf(a.out, "%s\n", safe(text))
	}
	end := "no mistakes"
	if len(failures) > 0 {
		end = fmt.Sprintf("%d failed", len(failures))
	}
	_, err := fmt.Fprintf(a.out, "%s: %s\n", count(len(logins), "connection"), end)
	return failures, err
}

// loginsOf lists each server's own session and each different login of workers and templates, and says which cannot be
// tried, and why.
func loginsOf(c *config.Config) (logins []login, open []string) {
	for _, s := range c.Servers {
		logins = append(logins, login{Who: []string{fmt.Sprintf("server %q", s.Label)}, Server: s})
	}
	add := func(kind string, w units.Worker) {
		if !w.Connects() {
			return
		}
		if conn := w.Connection; conn != nil && (strings.HasPrefix(conn.PasswordFile, units.SecretDescriptor) || strings.HasPrefix(conn.KeyFile, units.SecretDescriptor)) {
			open = append(open, fmt.Sprintf("%s %q: not tried, only the service was passed its secret", kind, w.Label))
			return
		}
		l := login{Who: []string{fmt.Sprintf("%s %q", kind, w.Label)}, Origin: c.Origin(w.Label), Worker: &w, User: w.User}
		for _, s := range c.Servers {
			if s.Label == w.Server || w.Server == "" && len(c.Servers) == 1 {
				l.Server = s
			}
		}
		if i := slices.IndexFunc(logins, l.same); i >= 0 {
			logins[i].Who = append(logins[i].Who, l.Who...)
			return
		}
		logins = append(logins, l)
	}
	for _, w := range c.Workers {
		add("worker", w)
	}
	for i := range c.Templates {
		if w, fixed := c.Templates[i].Fixed(); fixed {
			add("template", w)
		} else {
			open = append(open, fmt.Sprintf("template %q: not tried, its argument decides where it connects to", c.Templates[i].Label))
		}
	}
	return logins, open
}

// same reports whether o is the same login.
func (l *login) same(o login) bool {
	if o.Worker == nil || l.Server.Label != o.Server.Label || l.User != o.User {
		return false
	}
	var a, b units.Connection
	if l.Worker.Connection != nil {
		a = *l.Worker.Connection
	}
	if o.Worker.Connection != nil {
		b = *o.Worker.Connection
	}
	return a == b && maps.Equal(l.Worker.Environment, o.Worker.Environment)
}

// connectAs tries logins as a system user, in a process with a fresh environment such as a worker has.
func connectAs(name string, logins []login) ([]tried, error) {
	cannot := func(format string, args ...any) error {
		return &failure{code: codeFailed, text: fmt.Sprintf("cannot try connections as user %q: ", safe(name)) + fmt.Sprintf(format, args...),
			hint: "become root, or name the user that the service runs as: --user=NAME"}
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, cannot("%v", err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"pg-bgwctl", connectVerb}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + u.HomeDir, "USER=" + u.Username}
	if u.Uid != strconv.Itoa(os.Geteuid()) {
		if os.Geteuid() != 0 {
			return nil, cannot("only root may")
		}
		if cmd.SysProcAttr, err = attributesOf(u); err != nil {
			return nil, cannot("%v", err)
		}
	}
	input, err := json.Marshal(logins)
	if err != nil {
		return nil, err
	}
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, cannot("%v: %s", err, safe(strings.TrimSpace(errs.String())))
	}
	var got []tried
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got) != len(logins) {
		return nil, cannot("it gave no outcome: %v", err)
	}
	return got, nil
}

// attributesOf makes a process that of u, with all of its groups.
func attributesOf(u *user.User) (*syscall.SysProcAttr, error) {
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	var numbers []uint32
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, uint32(n))
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: numbers[0], Gid: numbers[1], Groups: numbers[2:]}}, nil
}

// newConnect is the hidden command.
func newConnect(a *app) *cobra.Command {
	return &cobra.Command{
		Use: connectVerb, Hidden: true, Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			hide()
			var logins []login
			if err := json.NewDecoder(a.in).Decode(&logins); err != nil {
				return &failure{code: codeUsage, text: "_connect: it is for check --connect alone"}
			}
			outcomes := make([]tried, len(logins))
			room := make(chan struct{}, maxTries)
			var all sync.WaitGroup
			for i := range logins {
				all.Go(func() {
					room <- struct{}{}
					outcomes[i] = logins[i].try(cmd.Context())
					<-room
				})
			}
			all.Wait()
			return json.NewEncoder(a.out).Encode(outcomes)
		},
	}
}

func (l *login) try(ctx context.Context) tried {
	if l.Made != nil {
		return tried{Trial: l.Made.Try(ctx)}
	}
	var c *server.Config
	var known server.Config
	if l.Server.Label != "" {
		known = server.Config{Label: l.Server.Label, Conninfo: l.Server.Conninfo, Cluster: l.Server.Cluster, DataDirectory: l.Server.DataDirectory}
		c = &known
	}
	me := ""
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	var tr server.Trial
	if l.Worker == nil {
		tr = known.Try(ctx)
	} else if made, err := server.NewLogin(c, l.Worker, nil); err != nil {
		tr = server.Trial{Why: server.WhyConfig, Problem: err.Error()}
	} else if l.User == "" || l.User == me {
		tr = made.Try(ctx)
	} else {
		as := *l
		as.Made, me = made, l.User
		got, err := connectAs(l.User, []login{as})
		if err != nil {
			return tried{Trial: server.Trial{Why: server.WhyConfig, Problem: err.Error()}}
		}
		tr = got[0].Trial
	}
	if tr.OK {
		return tried{Trial: tr}
	}
	return tried{Trial: tr, Remedy: server.Remedy(ctx, known, tr, me)}
}

// diagnose is a failure as check tells mistakes, or nil.
func diagnose(l *login, got tried) *config.Diagnostic {
	if got.Trial.OK {
		return nil
	}
	d := &config.Diagnostic{Severity: "error",
		Summary: strings.Join(l.Who, ", ") + ": cannot connect" + l.where(got.Trial),
		Detail:  strings.Join(append([]string{got.Trial.Problem}, got.Remedy...), "\n")}
	if i := strings.LastIndexByte(l.Origin, ':'); i >= 0 {
		d.File = l.Origin[:i]
		d.Line, _ = strconv.Atoi(l.Origin[i+1:])
	}
	return d
}

// where says to what and as whom, so far as it is known.
func (l *login) where(tr server.Trial) string {
	s := ""
	if tr.Role != "" {
		s += fmt.Sprintf(" to database %q as role %q", tr.Database, tr.Role)
	}
	if l.Worker != nil && l.Server.Label != "" {
		s += fmt.Sprintf(" on server %q", l.Server.Label)
	}
	return s
}

// printLogin prints one login; d is its failure. SQL and lines of files are not broken.
func (a *app) printLogin(l *login, got tried, d *config.Diagnostic) error {
	var b strings.Builder
	switch {
	case a.wantsJSON():
	case d == nil && a.quiet:
	case d == nil:
		fmt.Fprintf(&b, "%s: connects%s\n", safe(strings.Join(l.Who, ", ")), safe(l.where(got.Trial)))
	default:
		fmt.Fprintf(&b, "Error: %s\n\n", safe(d.Summary))
		if l.Origin != "" {
			fmt.Fprintf(&b, "  on %s\n\n", safe(l.Origin))
		}
		fmt.Fprintf(&b, "  %s\n\n", safe(got.Trial.Problem))
		for _, r := range got.Remedy {
			fmt.Fprintf(&b, "  - %s\n", safe(r))
		}
		b.WriteByte('\n')
	}
	_, err := a.out.Write([]byte(b.String()))
	return err
}
