package web

import (
	"fmt"
	"time"
)

// drawing is the data flow laid out for one screen width. The style sheet shows the
// one that fits. All lengths are in pixels.
type drawing struct {
	Class         string
	Width, Height int
	Boxes         []drawnBox
	Arrows        []drawnArrow
}

type drawnBox struct {
	box
	X, Y, W, H int
	Since      string
}

// BarW is the width of the filled part of the bar.
func (b drawnBox) BarW() int { return int(b.Bar.Share()*float64(b.W-2*pad) + 0.5) }

// FullW is the width of the whole bar.
func (b drawnBox) FullW() int { return b.W - 2*pad }

// TextX is where its lines start; line n is at TextY(n).
func (b drawnBox) TextX() int { return b.X + pad }

// TextY is the baseline of a line.
func (b drawnBox) TextY(line int) int { return b.Y + 24 + 20*line }

// BarY is the top of the bar.
func (b drawnBox) BarY() int { return b.Y + b.H - 15 }

type drawnArrow struct {
	arrow
	Path           string
	Head           string // points of its arrowhead
	LabelX, LabelY int
	Beside         bool // one line next to the arrow instead of one above and one below
}

const pad = 12

// layout arranges the boxes in rows, from left to right.
type layout struct {
	class                     string
	columns, w, h, gapX, gapY int
}

func layouts() []layout {
	return []layout{
		{"narrow", 1, 300, 112, 0, 44},
		{"medium", 3, 236, 116, 84, 56},
		{"wide", 9, 184, 116, 72, 0},
	}
}

func draw(w way) []drawing {
	var all []drawing
	for _, l := range layouts() {
		all = append(all, l.draw(w))
	}
	return all
}

func (l layout) draw(w way) drawing {
	const margin = 3 // for the borders
	rows := (len(w.Boxes) + l.columns - 1) / l.columns
	d := drawing{
		Class: l.class, Width: l.columns*l.w + (l.columns-1)*l.gapX + 2*margin, Height: rows*l.h + (rows-1)*l.gapY + 2*margin,
	}
	for i, b := range w.Boxes {
		d.Boxes = append(d.Boxes, drawnBox{
			box: b, X: margin + i%l.columns*(l.w+l.gapX), Y: margin + i/l.columns*(l.h+l.gapY), W: l.w, H: l.h, Since: clock(b.Since),
		})
	}
	for i, a := range w.Arrows {
		d.Arrows = append(d.Arrows, between(d.Boxes[i], d.Boxes[i+1], a))
	}
	return d
}

// between draws an arrow: straight to the right, straight down, or from the end of
// a row to the start of the next.
func between(from, to drawnBox, a arrow) drawnArrow {
	const head = 8
	if from.Y == to.Y {
		x1, x2, y := from.X+from.W, to.X, from.Y+from.H/2
		return drawnArrow{
			arrow: a, Path: fmt.Sprintf("M%d %dH%d", x1, y, x2-head), Head: fmt.Sprintf("%d,%d %d,%d %d,%d", x2, y, x2-head, y-5, x2-head, y+5),
			LabelX: (x1 + x2) / 2, LabelY: y - 6,
		}
	}
	x1, x2, y1, y2 := from.X+from.W/2, to.X+to.W/2, from.Y+from.H, to.Y
	mid := (y1 + y2) / 2
	return drawnArrow{
		arrow: a, Path: fmt.Sprintf("M%d %dV%dH%dV%d", x1, y1, mid, x2, y2-head), Head: fmt.Sprintf("%d,%d %d,%d %d,%d", x2, y2, x2-5, y2-head, x2+5, y2-head),
		LabelX: (x1+x2)/2 + 10, LabelY: mid + map[bool]int{true: 4, false: -6}[x1 == x2], Beside: true,
	}
}

// clock formats a time for a box.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return "since " + t.UTC().Format("01-02 15:04:05")
}
