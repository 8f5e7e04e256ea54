package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// curve returns the rows of the case curve.
func (r *Report) curve() (rows []*Result) {
	for i := range r.Results {
		if r.Results[i].Point != nil {
			rows = append(rows, &r.Results[i])
		}
	}
	return rows
}

// row returns the row of that name; nil if there is none.
func (r *Report) row(name string) *Result {
	for i := range r.Results {
		if r.Results[i].Case == name {
			return &r.Results[i]
		}
	}
	return nil
}

// curveParts returns the parts that any of the rows has, sorted.
func curveParts(rows []*Result) []string {
	all := map[string]bool{}
	for _, row := range rows {
		for part := range row.Point.CPU {
			all[part] = true
		}
	}
	return sortedKeys(all)
}

// writeCurve prints the rows of the case curve as a table of their own.
func (r *Report) writeCurve(w io.Writer) error {
	rows := r.curve()
	if len(rows) == 0 {
		return nil
	}
	parts := curveParts(rows)
	fmt.Fprintln(w, "\ncurve, by events/s; p50 and p99 to the receipt, CPU per event:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "rate\taccepted/s\tp50 ms\tp99\tCPU ms\t")
	for _, part := range parts {
		fmt.Fprintf(t, "%s\t", part)
	}
	fmt.Fprintln(t, "workflows/event\tdrain s\tlost\tdup.\t")
	if floor := r.row(rowFloorIdle); floor != nil {
		writePoint(t, fmt.Sprintf("floor at %d", idleRate), floor, &Point{}, parts)
	}
	for _, row := range rows {
		writePoint(t, fmt.Sprintf("%g", row.Point.Rate), row, row.Point, parts)
	}
	return t.Flush()
}

func writePoint(t io.Writer, name string, row *Result, p *Point, parts []string) {
	fmt.Fprintf(t, "%s\t%.0f\t%s\t%s\t%s\t", name, row.AcceptedPerSecond, short(row.Receive.P50), short(row.Receive.P99), cpu(row.CPU))
	for _, part := range parts {
		text := "-"
		if used, measured := p.CPU[part]; measured {
			text = fmt.Sprintf("%.2f", used)
		}
		fmt.Fprintf(t, "%s\t", text)
	}
	workflows := "-"
	if p.WorkflowsPerEvent != nil {
		workflows = fmt.Sprintf("%.3f", *p.WorkflowsPerEvent)
	}
	fmt.Fprintf(t, "%s\t%.1f\t%d\t%d\t\n", workflows, row.DrainSeconds, row.Lost, row.Duplicates)
}

// cpu formats the processor time per event of all processes. It is "-" where none was measured.
func cpu(byProcess map[string]float64) string {
	if len(byProcess) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", sum(byProcess))
}
