package config

import (
	"io"

	"github.com/hashicorp/hcl/v2"
)

// Diagnostics are the mistakes and warnings found in a set of files, in the
// order of the files and of the lines.
type Diagnostics struct {
	list    hcl.Diagnostics
	sources map[string]*hcl.File
}

// A Diagnostic is one mistake or warning, for programs.
type Diagnostic struct {
	Severity string `json:"severity"` // "error" or "warning"
	Summary  string `json:"summary"`
	Detail   string `json:"detail,omitempty"`
	File     string `json:"file,omitempty"`   // empty: it is about no line of a file
	Line     int    `json:"line,omitempty"`   // from 1
	Column   int    `json:"column,omitempty"` // from 1, in characters
}

// HasErrors reports whether anything but warnings is there.
func (d *Diagnostics) HasErrors() bool { return d.list.HasErrors() }

// List returns the diagnostics for programs.
func (d *Diagnostics) List() []Diagnostic { return nil }

// Err returns an error that names the first mistake and the number of others,
// for a log line or a status, and nil when there are only warnings.
func (d *Diagnostics) Err() error { return nil }

// Print writes the diagnostics for people, each with the lines it is about.
// Text is wrapped at width columns (0: never) and coloured if color is set.
// Control characters of the files are not passed on.
func (d *Diagnostics) Print(w io.Writer, width int, color bool) error { return nil }

// Len returns the number of diagnostics, warnings included.
func (d *Diagnostics) Len() int { return len(d.list) }
