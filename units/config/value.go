package config

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A value is the right side of an attribute. Its methods read it as something
// into dst, or tell what is wrong with it and leave dst alone.
type value struct {
	d     *decoder
	field string
	expr  hcl.Expression
	place *place
}

func (v *value) fail(r hcl.Range, problem, remedy string) {
	v.place.bad[v.field] = true
	v.d.fail(r, v.field+": "+problem, remedy)
}

func (v *value) wrong(problem, remedy string) { v.fail(v.expr.Range(), problem, remedy) }

// at is an element of v.
func (v *value) at(e hcl.Expression) *value {
	return &value{d: v.d, field: v.field, expr: e, place: v.place}
}

// literal evaluates v if that takes no work: expressions could take any amount.
func (v *value) literal() (cty.Value, bool) {
	switch e := v.expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		if word := hcl.ExprAsKeyword(e); word != "" {
			v.wrong("not a value", fmt.Sprintf("Write it in quotes: %q.", word))
			return cty.NilVal, false
		}
	case *hclsyntax.TupleConsExpr, *hclsyntax.ObjectConsExpr:
		v.wrong("a list or map", "Write one value.")
		return cty.NilVal, false
	}
	if !isLiteral(v.expr) {
		v.wrong("not a literal", "Write the value out; there are no variables, functions and operators. A literal \"${\" is written \"$${\".")
		return cty.NilVal, false
	}
	val, diags := v.expr.Value(nil)
	if diags.HasErrors() {
		v.place.bad[v.field] = true
		v.d.add(diags...)
		return cty.NilVal, false
	}
	switch {
	case val.IsNull():
		v.wrong("null is no value", "Leave the attribute out.")
		return cty.NilVal, false
	case !val.IsKnown(): // the parser has told
		v.place.bad[v.field] = true
		return cty.NilVal, false
	}
	return val, true
}

// isLiteral reports whether e is one value, written out.
func isLiteral(e hcl.Expression) bool {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return true
	case *hclsyntax.TemplateExpr:
		return e.IsStringLiteral() || !slices.ContainsFunc(e.Parts, func(p hclsyntax.Expression) bool {
			_, ok := p.(*hclsyntax.LiteralValueExpr)
			return !ok
		})
	case *hclsyntax.UnaryOpExpr:
		_, number := e.Val.(*hclsyntax.LiteralValueExpr)
		return number && e.Op == hclsyntax.OpNegate
	case *hclsyntax.ObjectConsKeyExpr:
		return !e.ForceNonLiteral && (hcl.ExprAsKeyword(e.Wrapped) != "" || isLiteral(e.Wrapped))
	case hclsyntax.Expression:
		return false
	}
	return true // the JSON syntax, which is literal without a context
}

// text is v as a text: a string as it is, and a whole number or a boolean as
// it is written. Other numbers are not written back as they were ("1.10").
func (v *value) text() (string, bool) {
	val, ok := v.literal()
	if !ok {
		return "", false
	}
	switch {
	case val.Type() == cty.String:
		return val.AsString(), true
	case val.Type() == cty.Bool:
		return strconv.FormatBool(val.True()), true
	case val.Type() == cty.Number:
		if n, acc := val.AsBigFloat().Int64(); acc == big.Exact {
			return strconv.FormatInt(n, 10), true
		}
	}
	v.wrong("not a text", "Write it in quotes.")
	return "", false
}

func (v *value) str(dst *string) {
	if s, ok := v.text(); ok {
		*dst = s
	}
}

func (v *value) boolean(dst *bool) {
	val, ok := v.literal()
	if !ok {
		return
	}
	switch {
	case val.Type() == cty.Bool:
		*dst = val.True()
	case val.Type() == cty.String && (val.AsString() == "true" || val.AsString() == "false"):
		*dst = val.AsString() == "true"
	default:
		v.wrong("not a boolean", "Write true or false.")
	}
}

// whole is v as a whole number of at most 64 bits and a sign; remedy is what
// to write instead of anything else.
func (v *value) whole(remedy string) (*big.Int, bool) {
	val, ok := v.literal()
	if !ok {
		return nil, false
	}
	n := new(big.Int)
	switch {
	case val.Type() == cty.Number:
		f := val.AsBigFloat()
		if ok = f.IsInt() && f.MantExp(nil) <= 64; ok {
			f.Int(n)
		}
	case val.Type() == cty.String && len(val.AsString()) <= 32:
		_, ok = n.SetString(val.AsString(), 0)
		ok = ok && n.BitLen() <= 64
	default:
		ok = false
	}
	if !ok {
		v.wrong("not a whole number of at most 64 bits", remedy)
	}
	return n, ok
}

// integer reads a whole number from lo to hi.
func integer[I int | int64 | uint64](v *value, dst *I, lo, hi int64) {
	remedy := fmt.Sprintf("Use %d to %d.", lo, hi)
	n, ok := v.whole(remedy)
	if !ok {
		return
	}
	if !n.IsInt64() || n.Int64() < lo || n.Int64() > hi {
		v.wrong(fmt.Sprintf("%v is out of range", n), remedy)
		return
	}
	*dst = I(n.Int64())
}

// datum reads 64 bits, written as a number with or without a sign (BGW-019).
func (v *value) datum(dst *uint64) {
	const remedy = `Use -9223372036854775808 to 18446744073709551615; in quotes also as "0xff".`
	n, ok := v.whole(remedy)
	switch {
	case !ok:
	case n.IsUint64():
		*dst = n.Uint64()
	case n.IsInt64():
		*dst = uint64(n.Int64())
	default:
		v.wrong(fmt.Sprintf("%v does not fit in 64 bits", n), remedy)
	}
}

func (v *value) float(dst *float64) {
	val, ok := v.literal()
	if !ok {
		return
	}
	f, err := math.NaN(), error(nil)
	switch val.Type() {
	case cty.Number:
		f, _ = val.AsBigFloat().Float64()
	case cty.String:
		f, err = strconv.ParseFloat(val.AsString(), 64)
	}
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		v.wrong("not a number", "Write it as in 1.5.")
		return
	}
	*dst = f
}

// word reads one of a set of words by its parser.
func word[E any](v *value, dst *E, parse func(string) (E, bool), options []string) {
	s, ok := v.text()
	if !ok {
		return
	}
	e, ok := parse(s)
	if !ok {
		v.wrong(fmt.Sprintf("%q is unknown", s), choice(s, options))
		return
	}
	*dst = e
}

// parser makes of a list of words what word wants, for types that are the
// index of a word.
func parser[E ~uint8](options []string) func(string) (E, bool) {
	return func(s string) (E, bool) {
		i := slices.Index(options, s)
		return E(max(i, 0)), i >= 0
	}
}

func (v *value) base64(dst *[]byte) {
	s, ok := v.text()
	if !ok {
		return
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		v.wrong("not base64", "Write what base64(1) prints, padding and all.")
		return
	}
	*dst = b
}
