package bench

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The size of a chart, and of the part with the lines.
const (
	chartWidth, chartHeight = 640, 320
	chartLeft, chartTop     = 70, 40
	plotWidth, plotHeight   = 540, 220
)

// line is one line of a chart, in the units of the chart.
type line struct {
	name, color string
	points      [][2]float64
}

// RateChart returns an SVG of the accepted and received events per second. The window ends where the accepted rate
// falls to zero.
func RateChart(r *Result) string {
	bySecond := func(counts []int) (points [][2]float64) {
		for second, n := range counts {
			points = append(points, [2]float64{float64(second) + 0.5, float64(n)})
		}
		return points
	}
	same := func(v float64) float64 { return v }
	return chart(r.Case+": events accepted and deliveries received", "seconds", "per second", same, []line{
		{"accepted", "#1f77b4", bySecond(r.Accepted)},
		{"received", "#d62728", bySecond(r.Received)},
	})
}

// LatencyChart returns an SVG of the distribution of both latencies: the percentage of events that took at most a
// given time. Its time axis is logarithmic.
func LatencyChart(r *Result) string {
	curve := func(quantiles []float64) (points [][2]float64) {
		for i, ms := range quantiles {
			points = append(points, [2]float64{math.Log10(max(ms, 0.01)), 100 * float64(i) / curveSteps})
		}
		return points
	}
	power := func(v float64) float64 { return math.Pow(10, v) }
	return chart(r.Case+": latency", "milliseconds", "percent of all, at most", power, []line{
		{"to the 202", "#1f77b4", curve(r.Accept.Curve)},
		{"to the receipt", "#d62728", curve(r.Receive.Curve)},
	})
}

// SoakLatencyChart returns an SVG of the time to the receipt by minute. The row must have a soak.
func SoakLatencyChart(r *Result) string {
	same := func(v float64) float64 { return v }
	return chart(r.Case+": latency to the receipt", "minutes", "milliseconds", same, []line{
		{"p50", "#1f77b4", r.Soak.minutes(func(m *Minute) float64 { return m.P50 })},
		{"p99", "#d62728", r.Soak.p99()},
	})
}

// SoakMemoryChart returns an SVG of the resident memory of each process over time. The row must have a soak.
func SoakMemoryChart(r *Result) string {
	same := func(v float64) float64 { return v }
	memory := r.Soak.memory()
	colors := [...]string{"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e"} // the most processes of a layout
	var lines []line
	for i, process := range sortedKeys(memory) {
		lines = append(lines, line{process, colors[i%len(colors)], memory[process]})
	}
	return chart(r.Case+": resident memory", "minutes", "MiB", same, lines)
}

// chart draws lines over a grid. label formats a value of the x axis.
func chart(title, x, y string, label func(float64) float64, lines []line) string {
	lowX, highX, highY := 0.0, 1.0, 1.0
	for _, l := range lines {
		for _, p := range l.points {
			lowX, highX, highY = min(lowX, math.Floor(p[0])), max(highX, p[0]), max(highY, p[1])
		}
	}
	stepX, stepY := max(1, step(highX-lowX)), step(highY) // whole seconds, whole powers
	highX, highY = math.Ceil(highX/stepX)*stepX, math.Ceil(highY/stepY)*stepY
	atX := func(v float64) float64 { return chartLeft + (v-lowX)/(highX-lowX)*plotWidth }
	atY := func(v float64) float64 { return chartTop + plotHeight - v/highY*plotHeight }

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n"+`<text x="%d" y="22" font-size="14">%s</text>`+"\n", chartLeft, html.EscapeString(title))
	for v := 0.0; v <= highY+stepY/2; v += stepY {
		fmt.Fprintf(&b, `<path d="M%d %.1fh%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", chartLeft, atY(v), plotWidth, chartLeft-6, atY(v)+4, rounded(v))
	}
	for v := lowX; v <= highX+stepX/2; v += stepX {
		fmt.Fprintf(&b, `<path d="M%.1f %dv%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%g</text>`+"\n", atX(v), chartTop, plotHeight, atX(v), chartTop+plotHeight+16, rounded(label(v)))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", chartLeft+plotWidth/2, chartTop+plotHeight+36, html.EscapeString(x))
	fmt.Fprintf(&b, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", chartTop+plotHeight/2, html.EscapeString(y))
	for i, l := range lines {
		var points strings.Builder
		for _, p := range l.points {
			fmt.Fprintf(&points, "%.1f,%.1f ", atX(p[0]), atY(p[1]))
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", l.color, strings.TrimSpace(points.String()))
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", chartLeft+i*plotWidth/len(lines), chartHeight-8, l.color, html.EscapeString(l.name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// step returns a round distance between grid lines, for five to ten lines.
func step(length float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(length/5)))
	for _, factor := range []float64{1, 2, 5} {
		if length/(unit*factor) <= 10 {
			return unit * factor
		}
	}
	return 10 * unit
}

// rounded removes the rounding error of adding up steps.
func rounded(v float64) float64 { return math.Round(v*1e6) / 1e6 }
