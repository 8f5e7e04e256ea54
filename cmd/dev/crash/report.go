package crash

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is the result of one damage.
type Row struct {
	Damage  Damage  `json:"damage"`
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"`
	Strikes int     `json:"strikes"`
	// Killed is how many processes were ended: a backend's death ends all sessions of
	// PostgreSQL, and counts as one.
	Killed int `json:"killed"`
	// Requests are those of publishers.
	Requests Counts `json:"requests"`
	// Accepted is events, of which AcceptedMeanwhile were accepted while something was
	// down or broken; Deliveries is what the accepted ones make.
	Accepted          int `json:"accepted"`
	AcceptedMeanwhile int `json:"accepted_meanwhile"`
	Deliveries        int `json:"deliveries"`
	Lost              int `json:"lost"`
	Duplicates        int `json:"duplicates"`
	// Repeated are requests made again because what came of them was not recorded;
	// those of them that had been answered with 2xx are the duplicates.
	Repeated int `json:"repeated"`
	// Dropped are Momento messages of which nobody knows whether they arrived.
	Dropped int `json:"dropped"`
	Failed  int `json:"failed"`
	// Unknown are events about which publishers got no answer; UnknownStored of them
	// are stored, and whole.
	Unknown       int `json:"unknown"`
	UnknownStored int `json:"unknown_stored"`
	// LastFinal is how long after the last strike, or after publishing ended if that
	// was later, the last delivery reached its final state.
	LastFinal float64 `json:"last_final_seconds"`
	// Measured are what strikes with an expectation of their own came to.
	Measured   []string    `json:"measured,omitempty"`
	Violations []Violation `json:"violations"`
}

func newRow(e *Evidence, f *Findings, begin, end time.Time) Row {
	row := Row{
		Damage: e.Damage, What: Of(e.Damage).What, Seconds: end.Sub(begin).Seconds(), Strikes: len(e.Struck), Requests: e.Counts,
		Accepted: f.Accepted, Deliveries: f.Deliveries, Lost: f.Lost, Duplicates: f.Duplicates, Repeated: f.Repeated,
		Dropped: f.Dropped, Failed: f.Failed, Unknown: f.Unknown, UnknownStored: f.Stored,
		LastFinal: max(0, f.Last.Sub(end).Seconds()), Violations: append([]Violation{}, f.Violations...),
		Measured: f.Measured,
	}
	for _, s := range e.Struck {
		row.Killed += s.Killed
	}
	return row
}

// Report is the results of all damages.
type Report struct {
	Command string        `json:"command"`
	Seed    uint64        `json:"seed"`
	Rate    float64       `json:"requests_per_second"`
	Window  time.Duration `json:"window_ns"`
	CPUs    int           `json:"cpus"`
	Rows    []Row         `json:"rows"`
}

// Failed reports whether a promise was broken.
func (r *Report) Failed() bool {
	for i := range r.Rows {
		if len(r.Rows[i].Violations) > 0 {
			return true
		}
	}
	return false
}

// mostShown bounds the violations that are printed of each row; JSON has them all.
const mostShown = 20

// Write prints a table that is Markdown, too, and what was violated.
func (r *Report) Write(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 1, ' ', 0)
	line := func(cells ...any) {
		text := make([]string, 0, len(cells))
		for _, c := range cells {
			text = append(text, fmt.Sprint(c))
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(text, "\t| "))
	}
	line("damage", "strikes", "processes ended", "events", "deliveries", "lost", "duplicates", "dropped", "failed requests", "last final")
	line("---", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:")
	for i := range r.Rows {
		row := &r.Rows[i]
		line(row.Damage, row.Strikes, row.Killed, row.Accepted, row.Deliveries, row.Lost, row.Duplicates, row.Dropped,
			fmt.Sprintf("%d of %d", row.Requests.Failed(), row.Requests.Requests), fmt.Sprintf("%.1f s", row.LastFinal))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(to, "\n%s, seed %d, %g requests/s, %d CPUs; repeats are allowed within %v of a strike\n", r.Command, r.Seed, r.Rate, r.CPUs, r.Window)
	for i := range r.Rows {
		row := &r.Rows[i]
		for _, text := range row.Measured {
			fmt.Fprintf(to, "%s: %s\n", row.Damage, text)
		}
		for j, v := range row.Violations {
			if j == mostShown {
				fmt.Fprintf(to, "%s: and %d more\n", row.Damage, len(row.Violations)-mostShown)
				break
			}
			fmt.Fprintf(to, "%s: VIOLATED %s: %s\n", row.Damage, v.Rule, v.Detail)
		}
	}
	return nil
}
