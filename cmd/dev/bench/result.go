package bench

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Result is a row of the report.
type Result struct {
	// Case is the row's name: the case, and where that has several rows, which.
	Case string `json:"case"`
	// Note says what the row's other members have no place for.
	Note string `json:"note,omitempty"`
	// Seconds is the length of the measured window; DrainSeconds is how long
	// after it the last delivery came.
	Seconds      float64 `json:"seconds"`
	DrainSeconds float64 `json:"drain_seconds"`

	// Events were accepted of those published in the window, Deliveries of theirs
	// received, out of Expected.
	Events     int `json:"events"`
	Deliveries int `json:"deliveries"`
	Expected   int `json:"expected"`

	// Of the whole run, warm-up included: events accepted; deliveries that never
	// came, came again, or came to an endpoint that was not to get them; publishes
	// by what was answered instead of a 202.
	Published  int            `json:"published"`
	Lost       int            `json:"lost"`
	Duplicates int            `json:"duplicates"`
	Strays     int            `json:"strays"`
	Errors     map[string]int `json:"errors,omitempty"`

	AcceptedPerSecond  float64 `json:"accepted_per_second"`
	DeliveredPerSecond float64 `json:"delivered_per_second"`
	// SustainedPerSecond counts the drain as time that the deliveries took: what
	// piles up while the load lasts does not look like speed.
	SustainedPerSecond float64 `json:"sustained_per_second"`

	// Accept is the time to the 202, Receive to the receipt; both from when the
	// event was to be sent.
	Accept  Latency `json:"accept"`
	Receive Latency `json:"receive"`

	// CPU is the processor time from the window's begin until all was delivered,
	// by process, in milliseconds per event; Memory the peak since the process began,
	// MemoryBefore and MemoryAfter what was resident before the window and once all
	// was delivered, in MiB.
	CPU          map[string]float64 `json:"cpu_ms_per_event,omitempty"`
	Memory       map[string]float64 `json:"memory_peak_mib,omitempty"`
	MemoryBefore map[string]float64 `json:"memory_before_mib,omitempty"`
	MemoryAfter  map[string]float64 `json:"memory_after_mib,omitempty"`

	// Accepted and Received are counts by second from the window's begin.
	Accepted []int `json:"accepted_by_second"`
	Received []int `json:"received_by_second"`

	// Floor is the share of the floor's rate; Ratio compares with the row that the
	// case is about. 0 is not measured.
	Floor float64 `json:"share_of_floor,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`

	// Soak is what the case soak alone has; nil elsewhere.
	Soak *Soak `json:"soak,omitempty"`
}

// Failed reports whether a promise was broken.
func (r *Result) Failed() bool { return r.Lost > 0 || r.Duplicates > 0 || r.Strays > 0 }

// Latency is a distribution of times in milliseconds.
type Latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	// Curve holds the quantiles 0, 0.5, … 100 %, for the chart.
	Curve []float64 `json:"curve,omitempty"`
}

// curveSteps is half a percent a step.
const curveSteps = 200

// NewLatency sorts the times, in place.
func NewLatency(times []time.Duration) Latency {
	l := Latency{Count: len(times)}
	if len(times) == 0 {
		return l
	}
	slices.Sort(times)
	l.P50, l.P90, l.P99, l.Max = quantile(times, 0.5), quantile(times, 0.9), quantile(times, 0.99), quantile(times, 1)
	for i := range curveSteps + 1 {
		l.Curve = append(l.Curve, quantile(times, float64(i)/curveSteps))
	}
	return l
}

// quantile is the nearest rank: the smallest time that at least the share q of
// all times does not exceed. It is one of the times, never a mean of two.
func quantile(sorted []time.Duration, q float64) float64 {
	// Less a little, for 0.07*100 is more than 7.
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9))
	return milliseconds(sorted[min(max(rank, 1), len(sorted))-1])
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Median returns, of several runs of a case, the one in the middle by the rate of
// deliveries or, where the rate was given, by the median latency. What must not
// happen at all is added up over the runs.
func Median(runs [][]Result) []Result {
	var out []Result
	if len(runs) == 0 {
		return nil
	}
	for row := range runs[0] {
		same := make([]Result, 0, len(runs))
		for _, run := range runs {
			if row < len(run) {
				same = append(same, run[row])
			}
		}
		key := func(r *Result) float64 { return r.SustainedPerSecond }
		if givenRate(same[0].Case) {
			key = func(r *Result) float64 { return r.Receive.P50 }
		}
		sorted := slices.SortedFunc(slices.Values(same), func(a, b Result) int {
			return cmp.Compare(key(&a), key(&b))
		})
		r := sorted[(len(sorted)-1)/2]
		r.Lost, r.Duplicates, r.Strays = 0, 0, 0
		for i := range same {
			r.Lost += same[i].Lost
			r.Duplicates += same[i].Duplicates
			r.Strays += same[i].Strays
		}
		out = append(out, r)
	}
	return out
}

// givenRate reports whether the row has a fixed rate, so that its latency is what
// was measured.
func givenRate(name string) bool {
	switch name {
	case CaseIdle, rowFloorIdle, CaseIsolation, rowQuiet, CaseOutage, CaseSoak:
		return true
	}
	return false
}
