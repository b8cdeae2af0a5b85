package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Bounds of what is told: more helps nobody.
const (
	maxPerFile = 100 // mistakes of one file
	maxSummary = 300 // bytes, as are details: they quote what is in the file
	maxDetail  = 600
)

// Diagnostics are the mistakes and warnings found in a set of files, in the
// order of the files and of their lines.
type Diagnostics struct {
	list  hcl.Diagnostics
	trees map[string]*hcl.File // source and, where it could be parsed, structure of each file
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

// Len returns the number of diagnostics, warnings included.
func (d *Diagnostics) Len() int { return len(d.list) }

// List returns the diagnostics for programs.
func (d *Diagnostics) List() []Diagnostic {
	ds := make([]Diagnostic, len(d.list))
	for i, h := range d.list {
		ds[i] = Diagnostic{Severity: severity(h), Summary: h.Summary, Detail: h.Detail}
		if h.Subject != nil {
			ds[i].File, ds[i].Line, ds[i].Column = h.Subject.Filename, h.Subject.Start.Line, h.Subject.Start.Column
		}
	}
	return ds
}

func severity(h *hcl.Diagnostic) string {
	if h.Severity == hcl.DiagWarning {
		return "warning"
	}
	return "error"
}

// Err returns an error that names the first mistake and the number of the
// others, for a log line or a status, and nil when there are only warnings.
func (d *Diagnostics) Err() error {
	var first *hcl.Diagnostic
	more := -1
	for _, h := range d.list {
		if h.Severity == hcl.DiagError {
			first = cmp.Or(first, h)
			more++
		}
	}
	if first == nil {
		return nil
	}
	text := first.Summary
	if first.Subject != nil {
		text = where(*first.Subject) + ": " + text
	}
	if more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return errors.New(text)
}

// where is "FILE:LINE:COLUMN", as editors and compilers write it.
func where(r hcl.Range) string {
	return fmt.Sprintf("%s:%d:%d", r.Filename, r.Start.Line, r.Start.Column)
}

// sort brings the diagnostics into the order of files, those about no file
// first, and drops what is too much.
func (d *Diagnostics) sort(files []File) {
	order := make(map[string]int, len(files))
	for i, f := range files {
		order[f.Path] = i + 1
	}
	key := func(h *hcl.Diagnostic) (int, int) {
		if h.Subject == nil {
			return 0, 0
		}
		return order[h.Subject.Filename], h.Subject.Start.Byte
	}
	slices.SortStableFunc(d.list, func(a, b *hcl.Diagnostic) int {
		fa, ba := key(a)
		fb, bb := key(b)
		return cmp.Or(cmp.Compare(fa, fb), cmp.Compare(ba, bb))
	})
	count := make(map[string]int)
	var kept hcl.Diagnostics
	for _, h := range d.list {
		if h.Subject != nil {
			name := h.Subject.Filename
			if count[name]++; count[name] == maxPerFile+1 {
				h = &hcl.Diagnostic{Severity: hcl.DiagError, Subject: h.Subject,
					Summary: fmt.Sprintf("More than %d mistakes in %s", maxPerFile, name),
					Detail:  "The others are not shown."}
			} else if count[name] > maxPerFile {
				continue
			}
		}
		h.Summary, h.Detail = cut(h.Summary, maxSummary), cut(h.Detail, maxDetail)
		kept = append(kept, h)
	}
	d.list = kept
}

// cut shortens s to about limit bytes.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
