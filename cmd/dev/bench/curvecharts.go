package bench

import (
	"fmt"
	"math"
)

// CurveCharts returns the charts of the case curve by name: latency, processor time and workflows over the rate. It
// returns none if the report has no curve.
func CurveCharts(r *Report) map[string]string {
	rows := r.curve()
	if len(rows) == 0 {
		return nil
	}
	charts := map[string]string{
		"latency": curveChart("curve: latency to the receipt", "milliseconds", rows, []line{
			{"p50", curveLine(rows, func(r *Result) (float64, bool) { return r.Receive.P50, true })},
			{"p99", curveLine(rows, func(r *Result) (float64, bool) { return r.Receive.P99, true })},
		}),
		"cpu": curveChart("curve: processor time per event", "milliseconds", rows, curveCPU(rows)),
	}
	if workflows := curveLine(rows, workflowsOf); len(workflows) > 0 {
		charts["workflows"] = curveChart("curve: workflows started per event", "workflows", rows, []line{{"workflows per event", workflows}})
	}
	return charts
}

func workflowsOf(r *Result) (float64, bool) {
	if r.Point.WorkflowsPerEvent == nil {
		return 0, false
	}
	return *r.Point.WorkflowsPerEvent, true
}

// curveCPU returns the line of all processes together, and one for each part.
func curveCPU(rows []*Result) []line {
	lines := []line{{"all", curveLine(rows, func(r *Result) (float64, bool) { return sum(r.Point.CPU), true })}}
	for _, part := range curveParts(rows) {
		lines = append(lines, line{part, curveLine(rows, func(r *Result) (float64, bool) {
			used, measured := r.Point.CPU[part]
			return used, measured
		})})
	}
	return lines
}

// curveLine returns a point for each row that has the value. Its x is the logarithm of the rate.
func curveLine(rows []*Result, value func(*Result) (v float64, measured bool)) (points [][2]float64) {
	for _, row := range rows {
		if v, measured := value(row); measured {
			points = append(points, [2]float64{math.Log10(row.Point.Rate), v})
		}
	}
	return points
}

// curveChart draws lines over the rates, which are the ticks of a logarithmic axis.
func curveChart(title, y string, rows []*Result, lines []line) string {
	var ticks []gridLine
	for _, row := range rows {
		ticks = append(ticks, gridLine{math.Log10(row.Point.Rate), fmt.Sprintf("%g", row.Point.Rate)})
	}
	return drawLines(title, "events per second", y, ticks, lines)
}

// barWidth is the width of a bar in pixels.
const barWidth = 80

// TenantsChart returns an SVG that compares the latency of the quiet tenant alone and beside the flood. It is empty
// if the report lacks one of both.
func TenantsChart(r *Report) string {
	alone, beside := r.row(rowAlone), r.row(CaseTenants)
	if alone == nil || beside == nil {
		return ""
	}
	groups := []struct {
		name string
		bars [2]float64
	}{
		{"p50", [2]float64{alone.Receive.P50, beside.Receive.P50}},
		{"p99", [2]float64{alone.Receive.P99, beside.Receive.P99}},
	}
	// A tenth of the height is left for the number above the highest bar.
	c := newCanvas(fmt.Sprintf("tenants: latency to the receipt, at %d events per second", tenantRate), "", "milliseconds", 1.1*max(1, alone.Receive.P99, beside.Receive.P99))
	for i, g := range groups {
		middle := float64(chartLeft) + plotWidth*(2*float64(i)+1)/4
		c.label(middle, chartTop+plotHeight+18, g.name)
		for j, v := range g.bars {
			c.bar(j, middle+float64(j-1)*barWidth, v)
		}
	}
	c.legend(0, 2, "alone")
	c.legend(1, 2, "beside the flood of another tenant")
	return c.end()
}

// bar draws a bar of the i-th color with its value above it.
func (c *canvas) bar(i int, x, v float64) {
	fmt.Fprintf(c, `<rect %s fill="currentColor" x="%.1f" y="%.1f" width="%d" height="%.1f"/>`+"\n", colorClass(i), x+2, c.atY(v), barWidth-4, chartTop+plotHeight-c.atY(v))
	c.label(x+barWidth/2, c.atY(v)-5, short(v))
}
