package main

import (
	"io"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

type serverInfo = dbusapi.ServerInfo

// serverProperties are those of org.pgbgw1.Server.
var serverProperties = []property[serverInfo]{
	{"Name", func(s *serverInfo) any { return s.Name }},
	{"Phase", func(s *serverInfo) any { return s.Phase }},
	{"Evidence", func(s *serverInfo) any { return s.Evidence }},
	{"PhaseTimestamp", func(s *serverInfo) any { return s.Changed.Realtime }},
	{"PhaseTimestampMonotonic", func(s *serverInfo) any { return s.Changed.Monotonic }},
	{"Permits", func(s *serverInfo) any { return append([]string{}, s.Permits...) }},
	{"Demoted", func(s *serverInfo) any { return s.Demoted }},
	{"Clients", func(s *serverInfo) any { return s.Clients }},
	{"Version", func(s *serverInfo) any { return s.Version }},
	{"PostmasterPID", func(s *serverInfo) any { return s.PostmasterPID }},
	{"Conninfo", func(s *serverInfo) any { return s.Conninfo }},
}

// serverColumns are the columns of the table of servers in status.
var serverColumns = []column{
	{title: "SERVER", least: 10},
	{title: "PHASE"},
	{title: "SINCE", least: 9, drop: 1},
	{title: "PID", right: true, drop: 3},
	{title: "VERSION", least: 4, drop: 4},
	{title: "EVIDENCE", least: 16, drop: 2},
}

// serverTable writes servers under headings; without one, nothing.
func (s screen) serverTable(out io.Writer, servers []serverInfo, headings bool, now time.Time) error {
	if len(servers) == 0 {
		return nil
	}
	rows := make([][]cell, len(servers))
	for i := range servers {
		rows[i] = serverRow(&servers[i], now)
	}
	return s.table(out, serverColumns, rows, headings)
}

func serverRow(s *serverInfo, now time.Time) []cell {
	version, _, _ := strings.Cut(s.Version, " ") // what follows is the packager's
	return []cell{
		{text: safe(s.Name)},
		{text: phaseText(s), style: phaseStyle(s)},
		{text: relative(s.Changed.Realtime, now)},
		{text: pidText(s.PostmasterPID)},
		{text: safe(version)},
		{text: safe(s.Evidence)},
	}
}

func phaseText(s *serverInfo) string {
	text := safe(s.Phase)
	if s.Demoted {
		text += ", demoted"
	}
	return text
}

// phaseStyle is the colour of a server's phase: whether workers with a connection may run there.
func phaseStyle(s *serverInfo) style {
	switch {
	case len(s.Permits) > 1 && s.Phase != "smart_stop":
		return good
	case s.Phase == "down" || s.Phase == "crash_restart" || s.Phase == "unreachable":
		return bad
	}
	return waiting
}

// waitText says why a worker is in its state: what of its server it waits for, else its reason.
func waitText(w *workerInfo) string {
	if w.WaitsFor != "" {
		return safe("waits for " + w.WaitsFor)
	}
	return safe(w.Reason)
}

func serverObjects(servers []serverInfo) []map[string]any {
	out := make([]map[string]any, len(servers))
	for i := range servers {
		out[i] = object(serverProperties, &servers[i])
	}
	return out
}
