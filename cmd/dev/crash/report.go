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
	// Killed is the number of processes that were ended. The end of a backend, which ends all sessions of PostgreSQL,
	// counts as one.
	Killed int `json:"killed"`
	// Requests are the counts of requests to publish.
	Requests Counts `json:"requests"`
	// Accepted is the number of accepted events, and AcceptedMeanwhile the number of those that were accepted while
	// something was down or broken. Deliveries is the number of deliveries of accepted events.
	Accepted          int `json:"accepted"`
	AcceptedMeanwhile int `json:"accepted_meanwhile"`
	Deliveries        int `json:"deliveries"`
	Lost              int `json:"lost"`
	Duplicates        int `json:"duplicates"`
	// Repeated is the number of requests repeated because no result was recorded. Duplicates are the repeated
	// requests whose earlier request had been answered with 2xx.
	Repeated int `json:"repeated"`
	// Dropped is the number of Momento messages with an unknown result.
	Dropped int `json:"dropped"`
	Failed  int `json:"failed"`
	// Unknown is the number of events without a conclusive response, and UnknownStored the number of those that are
	// stored, and stored completely.
	Unknown       int `json:"unknown"`
	UnknownStored int `json:"unknown_stored"`
	// LastFinal is the time from the last strike, or from the end of publishing if that was later, until the last
	// delivery reached its final state.
	LastFinal float64 `json:"last_final_seconds"`
	// Measured are the results of strikes with their own expectations.
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

// Report holds the results of all damages.
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

// mostShown is the most violations that are printed for each row; the JSON has all of them.
const mostShown = 20

// Write prints the results as a table, which is valid Markdown, and then the measurements and violations.
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
