package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/zclconf/go-cty/cty"
)

// list returns the elements of v.
func (v *value) list() ([]*value, bool) {
	exprs, diags := hcl.ExprList(v.expr)
	if diags.HasErrors() {
		v.wrong("not a list", `Write it as in ["first", "second"].`)
		return nil, false
	}
	vs := make([]*value, len(exprs))
	for i, e := range exprs {
		vs[i] = v.at(e)
	}
	return vs, true
}

func (v *value) strs(dst *[]string) {
	elements, ok := v.list()
	if !ok {
		return
	}
	ss := make([]string, len(elements))
	for i, e := range elements {
		e.str(&ss[i])
	}
	*dst = ss
}

// paths reads absolute paths in their shortest form.
func (v *value) paths(dst *[]string) {
	elements, ok := v.list()
	if !ok {
		return
	}
	var ps []string
	for _, e := range elements {
		s, ok := e.text()
		switch {
		case !ok:
		case !filepath.IsAbs(s) || strings.ContainsRune(s, 0):
			e.wrong(fmt.Sprintf("%q is not an absolute path", s), `Write it as in "/usr/share".`)
		default:
			ps = append(ps, filepath.Clean(s))
		}
	}
	*dst = ps
}

func (v *value) flags(dst *units.Flags) {
	elements, ok := v.list()
	if !ok {
		return
	}
	var all units.Flags
	for _, e := range elements {
		var f units.Flags
		word(e, &f, units.ParseFlag, units.FlagNames())
		all |= f
	}
	*dst = all
}

// strMap reads names and texts. HCL itself would let the last of two equal
// names win.
func (v *value) strMap(dst *map[string]string) {
	pairs, diags := hcl.ExprMap(v.expr)
	if diags.HasErrors() {
		v.wrong("not a map", `Write it as in { NAME = "text" }.`)
		return
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		key, ok := v.key(p.Key)
		if !ok {
			continue
		}
		if _, again := m[key]; again {
			v.fail(p.Key.Range(), fmt.Sprintf("%q is given twice", key), "Leave one of them out.")
			continue
		}
		m[key] = ""
		if s, ok := v.at(p.Value).text(); ok {
			m[key] = s
		}
	}
	*dst = m
}

func (v *value) key(e hcl.Expression) (string, bool) {
	if !isLiteral(e) {
		v.fail(e.Range(), "not a name", "Write a name, in quotes if it is more than letters and digits.")
		return "", false
	}
	val, diags := e.Value(nil)
	if diags.HasErrors() || !val.IsKnown() || val.IsNull() || val.Type() != cty.String {
		v.fail(e.Range(), "not a name", "Write a name, in quotes if it is more than letters and digits.")
		return "", false
	}
	return val.AsString(), true
}
