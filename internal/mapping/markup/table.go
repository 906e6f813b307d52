package markup

import "strings"

// table collects the cells of a table, because Markdown needs the number of columns
// of the widest row.
type table struct {
	rows    [][]string
	row     []string
	caption string
	inner   int // open tables inside cells; their cells become text of those cells

	inCell, inCaption bool
	at                int // start of the cell's text
	breaks            int // line ends pending in the text outside
	marker            string
	span              int   // columns that the cell spans
	down              int   // rows that the cell spans
	below             []int // by column: how many more rows are taken
}

// spanMax limits the rows and columns of a cell: a number of a few bytes must not
// create a table of millions of cells.
const spanMax = 16

func (w *writer) tableTag(t token) {
	starts := t.kind == startToken
	if w.table == nil {
		if t.role == tableOf && starts {
			w.paragraph = false
			w.line(2)
			w.table = &table{}
		}
		return
	}
	switch {
	case t.role == tableOf && starts:
		if !w.table.inCell {
			w.openCell(token{})
		}
		w.table.inner++
		w.line(1)
	case w.table.inner > 0:
		if t.role == tableOf {
			w.table.inner--
		}
		w.line(1)
	case t.role == tableOf:
		w.endTable()
	case t.role == tableCell && starts:
		w.openCell(t)
	case t.role == tableCell:
		w.endCell()
	case t.role == caption:
		if w.endCell(); starts {
			w.openCell(t)
			w.table.inCaption = true
		}
	default:
		w.endRow()
	}
}

func (w *writer) openCell(t token) {
	w.endCell()
	w.space, w.fresh = "", true
	b := w.table
	b.breaks, w.breaks = w.breaks, 0
	b.marker, w.marker = w.marker, ""
	b.inCell, b.at, w.lineAt = true, len(w.out), len(w.out)
	b.span, b.down = min(number(t.attr["colspan"], 1), spanMax), min(number(t.attr["rowspan"], 1), spanMax)
}

func (w *writer) endCell() {
	b := w.table
	if !b.inCell {
		return
	}
	w.endSpans()
	w.closeAll()
	text := string(w.out[b.at:])
	w.out, w.space = w.out[:b.at], ""
	w.breaks, w.marker, b.inCell = b.breaks, b.marker, false
	if b.inCaption {
		b.inCaption, b.caption = false, text
		return
	}
	b.add(text)
}

// add adds a cell to the row, after those that reach down from rows above.
func (b *table) add(text string) {
	for b.taken() {
		b.row = append(b.row, "")
	}
	for i := range max(b.span, 1) {
		if len(b.row) < len(b.below) {
			b.below[len(b.row)] = b.down - 1
		} else {
			b.below = append(b.below, b.down-1)
		}
		if i > 0 {
			text = ""
		}
		b.row = append(b.row, text)
	}
}

// taken reports whether the next column is taken by a cell from above, and counts
// it.
func (b *table) taken() bool {
	if len(b.row) >= len(b.below) || b.below[len(b.row)] <= 0 {
		return false
	}
	b.below[len(b.row)]--
	return true
}

func (w *writer) endRow() {
	w.endCell()
	if b := w.table; len(b.row) > 0 {
		b.rows = append(b.rows, b.row)
		b.row = nil
	}
}

func (w *writer) endTable() {
	w.endRow()
	b := w.table
	w.table = nil
	columns := 0
	for _, row := range b.rows {
		columns = max(columns, len(row))
	}
	if b.caption != "" {
		w.put(b.caption)
		w.line(2)
	}
	for i, row := range b.rows {
		switch {
		case columns == 1:
			if w.put(row[0]); row[0] != "" {
				w.line(2)
			}
		case w.plain:
			w.put(strings.Join(row, " | "))
			w.line(1)
		default:
			w.row(row, i, columns)
		}
	}
	w.line(2)
}

// put writes finished text.
func (w *writer) put(s string) {
	if s != "" {
		w.begin()
		w.out = append(w.out, s...)
	}
}

func (w *writer) row(cells []string, i, columns int) {
	w.begin()
	w.out = append(w.out, '|')
	for _, text := range cells {
		w.out = append(w.out, ' ')
		w.out = append(w.out, strings.ReplaceAll(text, "|", `\|`)...)
		w.out = append(w.out, " |"...)
	}
	if i == 0 {
		w.out = append(w.out, strings.Repeat("  |", columns-len(cells))...)
		w.line(1)
		w.begin()
		w.out = append(append(w.out, '|'), strings.Repeat("---|", columns)...)
	}
	w.line(1)
}
