package bench

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Result is a row of the report.
type Result struct {
	// Case is the name of the row: the name of the case, or of one row of a case with several.
	Case string `json:"case"`
	// Note holds results for which the row has no other members.
	Note string `json:"note,omitempty"`
	// Seconds is the length of the measured window; DrainSeconds is the time from its end until the last delivery.
	Seconds      float64 `json:"seconds"`
	DrainSeconds float64 `json:"drain_seconds"`

	// Events is the number of events published in the window and accepted, Expected the number of their deliveries,
	// and Deliveries the number of those that were received.
	Events     int `json:"events"`
	Deliveries int `json:"deliveries"`
	Expected   int `json:"expected"`

	// These count the whole run, including the warm-up: accepted events, missing deliveries, repeated deliveries,
	// deliveries to a wrong endpoint, and publishes without a 202 by their result.
	Published  int            `json:"published"`
	Lost       int            `json:"lost"`
	Duplicates int            `json:"duplicates"`
	Strays     int            `json:"strays"`
	Errors     map[string]int `json:"errors,omitempty"`

	AcceptedPerSecond  float64 `json:"accepted_per_second"`
	DeliveredPerSecond float64 `json:"delivered_per_second"`
	// SustainedPerSecond is the rate of deliveries over the window and the drain, so that deliveries that pile up
	// during the load do not count as speed.
	SustainedPerSecond float64 `json:"sustained_per_second"`

	// Accept is the time to the 202 and Receive the time to the receipt. Both start when the event was due to be
	// sent.
	Accept  Latency `json:"accept"`
	Receive Latency `json:"receive"`

	// CPU is the processor time by process, in milliseconds per event, from the beginning of the window until
	// everything was delivered. The memory members are in MiB: Memory is the peak since the process began,
	// MemoryBefore the resident memory before the window, and MemoryAfter the resident memory once everything was
	// delivered.
	CPU          map[string]float64 `json:"cpu_ms_per_event,omitempty"`
	Memory       map[string]float64 `json:"memory_peak_mib,omitempty"`
	MemoryBefore map[string]float64 `json:"memory_before_mib,omitempty"`
	MemoryAfter  map[string]float64 `json:"memory_after_mib,omitempty"`

	// Accepted and Received are counts per second, starting at the beginning of the window.
	Accepted []int `json:"accepted_by_second"`
	Received []int `json:"received_by_second"`

	// Floor is the rate as a share of the floor's rate. Ratio compares the row with the row that the case refers to,
	// and RatioP50 does the same for the median where Ratio is of the p99. 0 means not measured.
	Floor    float64 `json:"share_of_floor,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	RatioP50 float64 `json:"ratio_p50,omitempty"`

	// Point is set in the case curve only.
	Point *Point `json:"point,omitempty"`

	// Soak is set in the case soak only.
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

// curveSteps is the number of steps of half a percent.
const curveSteps = 200

// NewLatency returns the distribution of times. It sorts times in place.
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

// quantile returns the nearest rank: the smallest of the times that at least the share q of all times does not
// exceed. It is always one of the times, never a mean of two.
func quantile(sorted []time.Duration, q float64) float64 {
	// Subtract a little, because 0.07*100 is more than 7 in floating point.
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9))
	return milliseconds(sorted[min(max(rank, 1), len(sorted))-1])
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Median returns the middle one of several runs of a case, by the rate of deliveries or, if the rate was given, by
// the median latency. It adds up the losses, duplicates and strays of all runs.
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

// givenRate reports whether the row has a fixed rate, so that its result is the latency.
func givenRate(name string) bool {
	switch name {
	case CaseIdle, rowFloorIdle, CaseIsolation, rowQuiet, CaseOutage, CaseSoak, CaseTenants, rowAlone:
		return true
	}
	return strings.HasPrefix(name, curvePrefix)
}
