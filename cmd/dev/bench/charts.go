package bench

import (
	"math"
)

// line is one line of a chart, in the units of the chart.
type line struct {
	name   string
	points [][2]float64
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
	return evenChart(r.Case+": events accepted and deliveries received", "seconds", "per second", same, []line{
		{"accepted", bySecond(r.Accepted)},
		{"received", bySecond(r.Received)},
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
	return evenChart(r.Case+": latency", "milliseconds", "percent of all, at most", power, []line{
		{"to the 202", curve(r.Accept.Curve)},
		{"to the receipt", curve(r.Receive.Curve)},
	})
}

// SoakLatencyChart returns an SVG of the time to the receipt by minute. The row must have a soak.
func SoakLatencyChart(r *Result) string {
	return evenChart(r.Case+": latency to the receipt", "minutes", "milliseconds", same, []line{
		{"p50", r.Soak.minutes(func(m *Minute) float64 { return m.P50 })},
		{"p99", r.Soak.p99()},
	})
}

// SoakMemoryChart returns an SVG of the resident memory of each process over time. The row must have a soak.
func SoakMemoryChart(r *Result) string {
	memory := r.Soak.memory()
	var lines []line
	for _, process := range sortedKeys(memory) {
		lines = append(lines, line{process, memory[process]})
	}
	return evenChart(r.Case+": resident memory", "minutes", "MiB", same, lines)
}

// same labels a value with itself.
func same(v float64) float64 { return v }

// evenChart draws lines over an x axis with evenly spaced grid lines. label formats a value of the x axis.
func evenChart(title, x, y string, label func(float64) float64, lines []line) string {
	low, high := 0.0, 1.0
	for _, l := range lines {
		for _, p := range l.points {
			low, high = min(low, math.Floor(p[0])), max(high, p[0])
		}
	}
	distance := max(1, step(high-low)) // whole seconds, whole powers
	high = math.Ceil(high/distance) * distance
	var ticks []gridLine
	for v := low; v <= high+distance/2; v += distance {
		ticks = append(ticks, gridLine{v, number(label(v))})
	}
	return drawLines(title, x, y, ticks, lines)
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
