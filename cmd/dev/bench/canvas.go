package bench

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// The size of a chart, and of the part with the lines.
const (
	chartWidth, chartHeight = 640, 320
	chartLeft, chartTop     = 70, 40
	plotWidth, plotHeight   = 540, 220
)

// tickRoom is the least distance between the labels of two ticks: room for five digits.
const tickRoom = 40

// chartStyle has the colors. The paper is opaque, so that a chart is readable on any page; a reader who prefers dark
// gets a dark one. currentColor of the classes c0, c1, … is the color of a line.
const chartStyle = `<style>
.paper{fill:#fff}text{fill:#222}.grid{stroke:#ddd}
.c0{color:#1f77b4}.c1{color:#d62728}.c2{color:#2ca02c}.c3{color:#9467bd}.c4{color:#c96500}
@media (prefers-color-scheme:dark){
.paper{fill:#16191d}text{fill:#e3e6ea}.grid{stroke:#3a3f46}
.c0{color:#6cb6ff}.c1{color:#ff7b72}.c2{color:#6bd97f}.c3{color:#c9a6f0}.c4{color:#ffb05c}
}
</style>
`

// colors is the number of classes of chartStyle: the most processes of a layout.
const colors = 5

// gridLine is a grid line of the x axis. at is in the units of the chart.
type gridLine struct {
	at    float64
	label string
}

// canvas is an SVG in the making.
type canvas struct {
	strings.Builder
	highY float64
}

// newCanvas draws the title and the y axis, which goes from zero to at least most.
func newCanvas(title, x, y string, most float64) *canvas {
	distance := step(most)
	c := &canvas{highY: math.Ceil(most/distance-1e-9) * distance}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", chartWidth, chartHeight)
	fmt.Fprint(c, chartStyle)
	fmt.Fprint(c, `<rect class="paper" width="100%" height="100%"/>`+"\n")
	fmt.Fprintf(c, `<text x="%d" y="22" font-size="14">%s</text>`+"\n", chartLeft, html.EscapeString(title))
	for v := 0.0; v <= c.highY+distance/2; v += distance {
		fmt.Fprintf(c, `<path class="grid" d="M%d %.1fh%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", chartLeft, c.atY(v), plotWidth, chartLeft-6, c.atY(v)+4, number(v))
	}
	c.label(chartLeft+plotWidth/2, chartTop+plotHeight+34, x)
	fmt.Fprintf(c, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", chartTop+plotHeight/2, html.EscapeString(y))
	return c
}

// atY returns the place of a value.
func (c *canvas) atY(v float64) float64 { return chartTop + plotHeight - v/c.highY*plotHeight }

// label writes a text around x.
func (c *canvas) label(x, y float64, text string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", x, y, html.EscapeString(text))
}

// legend names the i-th of n colors below the chart.
func (c *canvas) legend(i, n int, name string) {
	x := chartLeft + i*plotWidth/n
	fmt.Fprintf(c, `<path %s stroke="currentColor" stroke-width="4" d="M%d %dh14"/><text x="%d" y="%d">%s</text>`+"\n",
		colorClass(i), x, chartHeight-12, x+20, chartHeight-8, html.EscapeString(name))
}

// end returns the finished SVG.
func (c *canvas) end() string {
	fmt.Fprint(c, "</svg>\n")
	return c.String()
}

// colorClass returns the attribute that gives an element the i-th color.
func colorClass(i int) string { return fmt.Sprintf(`class="c%d"`, i%colors) }

// drawLines draws lines over a grid. The x axis goes from the first tick to the last. A tick without room for its
// label has none.
func drawLines(title, x, y string, ticks []gridLine, lines []line) string {
	low, high := ticks[0].at, ticks[len(ticks)-1].at
	if high == low { // a single tick is in the middle
		low, high = low-1, high+1
	}
	atX := func(v float64) float64 { return chartLeft + (v-low)/(high-low)*plotWidth }
	c := newCanvas(title, x, y, mostOf(lines))
	free := 0.0
	for _, t := range ticks {
		fmt.Fprintf(c, `<path class="grid" d="M%.1f %dv%d"/>`+"\n", atX(t.at), chartTop, plotHeight)
		if atX(t.at) >= free {
			c.label(atX(t.at), chartTop+plotHeight+16, t.label)
			free = atX(t.at) + tickRoom
		}
	}
	for i, l := range lines {
		c.line(i, &l, atX)
		c.legend(i, len(lines), l.name)
	}
	return c.end()
}

// mostOf returns the highest value of all lines, at least 1.
func mostOf(lines []line) float64 {
	most := 1.0
	for _, l := range lines {
		for _, p := range l.points {
			most = max(most, p[1])
		}
	}
	return most
}

// fewPoints is the most points of a line that are marked: more would hide it.
const fewPoints = 12

// line draws a line, and its points if they are few.
func (c *canvas) line(i int, l *line, atX func(float64) float64) {
	var points strings.Builder
	for _, p := range l.points {
		fmt.Fprintf(&points, "%.1f,%.1f ", atX(p[0]), c.atY(p[1]))
	}
	fmt.Fprintf(c, `<polyline %s fill="none" stroke="currentColor" stroke-width="2" points="%s"/>`+"\n", colorClass(i), strings.TrimSpace(points.String()))
	if len(l.points) > fewPoints {
		return
	}
	for _, p := range l.points {
		fmt.Fprintf(c, `<circle %s fill="currentColor" r="3" cx="%.1f" cy="%.1f"/>`+"\n", colorClass(i), atX(p[0]), c.atY(p[1]))
	}
}

// number formats the value of a grid line without the rounding error of adding up steps.
func number(v float64) string { return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'g', -1, 64) }
