package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report holds the results of a benchmark.
type Report struct {
	Machine Machine  `json:"machine"`
	Command string   `json:"command"`
	Results []Result `json:"results"`
}

// Machine describes what the numbers depend on.
type Machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql"`
	// Durability is the list of settings that PostgreSQL reported.
	Durability string `json:"durability"`
	// Layout describes the processes.
	Layout string `json:"layout"`
}

// Failed reports whether a promise was broken in any row.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Results, func(row Result) bool { return row.Failed() })
}

// Compare fills in the shares of the floor and the ratios between cases, if both sides were measured.
func (r *Report) Compare() {
	if floor := r.row(CaseFloor); floor != nil && floor.SustainedPerSecond > 0 {
		for i := range r.Results {
			if !givenRate(r.Results[i].Case) {
				r.Results[i].Floor = r.Results[i].SustainedPerSecond / floor.SustainedPerSecond
			}
		}
	}
	if floor := r.row(rowFloorIdle); floor != nil && floor.Receive.P50 > 0 {
		for _, name := range []string{CaseIdle, curveRow(idleRate)} {
			if row := r.row(name); row != nil {
				row.Ratio = row.Receive.P50 / floor.Receive.P50
				row.note(fmt.Sprintf("p50 is %.1f times the floor's", row.Ratio))
			}
		}
	}
	if saturation, stored := r.row(CaseSaturation), r.row(CaseStored); saturation != nil && stored != nil && saturation.SustainedPerSecond > 0 {
		stored.Ratio = stored.SustainedPerSecond / saturation.SustainedPerSecond
		stored.note(fmt.Sprintf("%.0f %% of saturation without them", 100*stored.Ratio))
	}
}

// note adds to the row's note.
func (r *Result) note(text string) {
	if r.Note != "" {
		r.Note += "; "
	}
	r.Note += text
}

// Write prints the report as text for people.
func (r *Report) Write(w io.Writer) error {
	m := &r.Machine
	fmt.Fprintf(w, "%s, %d cores, %s, %s\n", m.CPU, m.Cores, m.Kernel, m.Go)
	if m.PostgreSQL != "" { // the floor has none
		fmt.Fprintf(w, "PostgreSQL %s (%s)\n%s\n", m.PostgreSQL, m.Durability, m.Layout)
	}
	fmt.Fprintf(w, "%s\n\n", r.Command)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\taccepted/s\tdelivered/s\tsustained/s\tof floor\tp50 ms\tp90\tp99\t202 p50\t202 p99\tCPU ms/event\tdrain s\tevents\tlost\tdup.\t")
	for i := range r.Results {
		row := &r.Results[i]
		if row.Seconds == 0 {
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\t\n", row.Case)
			continue
		}
		share := "-"
		if row.Floor > 0 {
			share = fmt.Sprintf("%.1f %%", 100*row.Floor)
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%d\t%d\t%d\t\n",
			row.Case, row.AcceptedPerSecond, row.DeliveredPerSecond, row.SustainedPerSecond, share,
			short(row.Receive.P50), short(row.Receive.P90), short(row.Receive.P99), short(row.Accept.P50), short(row.Accept.P99),
			cpu(row.CPU), row.DrainSeconds, row.Events, row.Lost, row.Duplicates)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for i := range r.Results {
		fmt.Fprintf(w, "%s: %s\n", r.Results[i].Case, strings.Join(details(&r.Results[i]), "; "))
	}
	if err := r.writeCurve(w); err != nil {
		return err
	}
	for i := range r.Results {
		if soak := r.Results[i].Soak; soak != nil {
			if err := soak.write(w); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprint(w, explanation)
	return err
}

// explanation explains the columns.
const explanation = `
delivered/s: within the window; sustained/s: deliveries by the window and the drain together.
wide is one event: its rates are over the time to the last delivery, its drain begins with the 202.
p50, p90, p99: from when an event was to be sent to its receipt; 202: to the answer.
CPU: all processes but the load's, from the window's begin until everything had arrived.
tenants: of the quiet tenant, while the flood of the busy one is accepted and delivered.
`

// details returns the results of a row for which the table has no columns.
func details(row *Result) []string {
	var out []string
	if row.Note != "" {
		out = append(out, row.Note)
	}
	for _, name := range sortedKeys(row.CPU) {
		out = append(out, fmt.Sprintf("%s %.2f ms CPU per event", name, row.CPU[name]))
	}
	for _, name := range sortedKeys(row.Memory) {
		out = append(out, fmt.Sprintf("%s %.0f MiB before, %.0f after, %.0f at most", name, row.MemoryBefore[name], row.MemoryAfter[name], row.Memory[name]))
	}
	for _, name := range sortedKeys(row.Errors) {
		out = append(out, fmt.Sprintf("%d × %s", row.Errors[name], name))
	}
	if row.Strays > 0 {
		out = append(out, fmt.Sprintf("%d deliveries to the wrong endpoint", row.Strays))
	}
	return out
}

func sum(by map[string]float64) (total float64) {
	for _, v := range by {
		total += v
	}
	return total
}

// short formats milliseconds with about three significant digits.
func short(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	default:
		return fmt.Sprintf("%.0f", ms)
	}
}
