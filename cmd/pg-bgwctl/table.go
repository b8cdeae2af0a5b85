package main

import (
	"bufio"
	"io"
	"slices"
	"strings"
)

// column describes one column of a table.
type column struct {
	title string
	least int // columns of the terminal that it may be cut to; 0: it is never cut
	drop  int // where even that does not fit, columns go in falling order of drop; 0: it stays
	right bool
}

// cell is one field of a table; text is safe.
type cell struct {
	text  string
	style style
}

// table writes rows under headings, in as few columns as they need and at most those of the screen.
func (s screen) table(w io.Writer, cols []column, rows [][]cell, headings bool) error {
	show, widths := s.layout(cols, rows, headings)
	out := bufio.NewWriter(w)
	if headings {
		titles := make([]cell, len(cols))
		for i, c := range cols {
			titles[i] = cell{text: c.title}
		}
		s.row(out, cols, show, widths, titles)
	}
	for _, r := range rows {
		s.row(out, cols, show, widths, r)
	}
	return out.Flush()
}

// layout says which columns are shown, and how wide each is.
func (s screen) layout(cols []column, rows [][]cell, headings bool) (show []int, widths []int) {
	widths = make([]int, len(cols))
	for i, c := range cols {
		show = append(show, i)
		if headings {
			widths[i] = columns(c.title)
		}
		for _, r := range rows {
			widths[i] = max(widths[i], columns(r[i].text))
		}
	}
	if s.width == 0 {
		return show, widths
	}
	for over(show, widths, s.width) > 0 {
		if i := widest(cols, show, widths); i >= 0 {
			widths[i] = max(widths[i]-over(show, widths, s.width), cols[i].least, second(cols, show, widths, i))
			continue
		}
		i := slices.MaxFunc(show, func(a, b int) int { return cols[a].drop - cols[b].drop })
		if cols[i].drop == 0 {
			break
		}
		show = slices.DeleteFunc(show, func(j int) bool { return j == i })
		s.regrow(cols, rows, show, widths, headings)
	}
	return show, widths
}

// regrow gives the columns that were cut their full width again, since one has gone.
func (s screen) regrow(cols []column, rows [][]cell, show, widths []int, headings bool) {
	for _, i := range show {
		widths[i] = 0
		if headings {
			widths[i] = columns(cols[i].title)
		}
		for _, r := range rows {
			widths[i] = max(widths[i], columns(r[i].text))
		}
	}
}

// over returns by how many columns of the terminal the table is too wide.
func over(show, widths []int, limit int) int {
	total := max(len(show)-1, 0)
	for _, i := range show {
		total += widths[i]
	}
	return total - limit
}

// widest returns the widest column that can be cut further, or -1.
func widest(cols []column, show, widths []int) int {
	best := -1
	for _, i := range show {
		if cols[i].least > 0 && widths[i] > cols[i].least && (best < 0 || widths[i] > widths[best]) {
			best = i
		}
	}
	return best
}

// second returns the width down to which column i may be cut before another one is as wide: the next in turn loses one
// column at least.
func second(cols []column, show, widths []int, i int) int {
	next := 0
	for _, j := range show {
		if j != i && cols[j].least > 0 && widths[j] > cols[j].least {
			next = max(next, widths[j])
		}
	}
	return min(next, widths[i]-1)
}

func (s screen) row(w *bufio.Writer, cols []column, show, widths []int, r []cell) {
	var b strings.Builder
	for n, i := range show {
		text := cut(r[i].text, widths[i], s.mark())
		pad := strings.Repeat(" ", max(widths[i]-columns(text), 0))
		painted := s.paint(r[i].style, text)
		if n > 0 {
			b.WriteByte(' ')
		}
		if cols[i].right {
			b.WriteString(pad + painted)
		} else {
			b.WriteString(painted + pad)
		}
	}
	w.WriteString(strings.TrimRight(b.String(), " "))
	w.WriteByte('\n')
}
