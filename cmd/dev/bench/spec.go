// Package bench puts a load on a running Grapnel over HTTP, receives its deliveries, and reports rates, latencies,
// processor time, losses and duplicates as numbers, a table and charts. It uses only the addresses and process ids of
// the stack, and Temporal's database to count workflows, and imports nothing of the product. One process both publishes
// and receives, so that all times come from one monotonic clock.
package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Names of the cases.
const (
	CaseFloor      = "floor"
	CaseSaturation = "saturation"
	CaseFanout     = "fanout10"
	CaseBatch      = "batch"
	CaseBurst      = "burst"
	CaseIdle       = "idle"
	CaseIsolation  = "isolation"
	CaseStored     = "stored"
	CaseOutage     = "outage"
	CaseWide       = "wide"
	CaseMany       = "many"
	CaseCurve      = "curve"
	CaseTenants    = "tenants"
	CaseDeletion   = "deletion"
	CaseAway       = "away"
	CaseSoak       = "soak"
)

// Cases returns all cases in the order in which they run: cases that others are compared with come first, long cases
// last.
func Cases() []string { return append(DefaultCases(), LongCases()...) }

// DefaultCases returns the cases that run when none is named.
func DefaultCases() []string {
	return []string{
		CaseFloor, CaseSaturation, CaseFanout, CaseBatch, CaseBurst, CaseIdle, CaseIsolation, CaseStored, CaseOutage,
	}
}

// LongCases returns the cases that run only when they are named, because they take long.
func LongCases() []string {
	return []string{CaseWide, CaseMany, CaseCurve, CaseTenants, CaseDeletion, CaseAway, CaseSoak}
}

// CheckCases reports all names that are not cases.
func CheckCases(names []string) error {
	var unknown []string
	for _, name := range names {
		if !slices.Contains(Cases(), name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("--case: no such case: %s; there are %s, and, not by default, %s",
			strings.Join(unknown, ", "), strings.Join(DefaultCases(), ", "), strings.Join(LongCases(), ", "))
	}
	return nil
}

// Spec is the input of a load process.
type Spec struct {
	Case string `json:"case"`
	// Targets are the base URLs to publish to, in turn; Key is the API key for all of them.
	Targets []string `json:"targets"`
	Key     string   `json:"key"`
	// Processes are the processes whose processor time and memory are reported.
	Processes []Process `json:"processes"`
	// TemporalDatabase is the URL of Temporal's database, in which the case curve counts workflows. If it is empty,
	// they are not counted.
	TemporalDatabase string `json:"temporal_database,omitempty"`
	// Database is the URL of Grapnel's database, whose statistics are renewed when many tenants were made, and in which the
	// case deletion stores deliveries. If it is empty, they are not.
	Database string `json:"database,omitempty"`

	// WarmUp is the time of publishing and receiving before the measurement, and Window the length of the measured
	// load. Drain is the time that accepted events have to arrive after the window before they count as lost.
	WarmUp time.Duration `json:"warm_up"`
	Window time.Duration `json:"window"`
	Drain  time.Duration `json:"drain"`

	Publishers int `json:"publishers"`
	// Payload is the size of an event's data in bytes.
	Payload int `json:"payload"`
	// Rate is the number of events per second, for the cases with a fixed rate.
	Rate float64 `json:"rate"`
	// Webhooks is the number of webhooks in the cases about many webhooks.
	Webhooks int `json:"webhooks"`
	// Tenants is the number of tenants for which events are published in turn, in the cases saturation, stored and batch;
	// 0 is the key's own tenant alone.
	Tenants int `json:"tenants,omitempty"`
	// Rates are the rates of the case curve, in events per second.
	Rates []float64 `json:"rates,omitempty"`
	// Stored is the number of deliveries of the tenant that the case deletion deletes.
	Stored int `json:"stored,omitempty"`
	// Flood is the number of events that one tenant publishes beside the other in the case tenants.
	Flood int `json:"flood,omitempty"`
}

// OutageLength returns how long the receiver is down in the case outage.
func (s *Spec) OutageLength() time.Duration { return s.Window / 2 }

// OutageSchedule returns a retry schedule of four delays. Under it no delivery runs out of attempts during an outage
// of the given length, and the last attempt comes half that length after the outage ends.
func OutageSchedule(outage time.Duration) []time.Duration {
	unit := outage / 10
	return []time.Duration{unit, 2 * unit, 4 * unit, 8 * unit}
}

// Open returns the due time of the i-th event at a rate per second. It computes the time from the beginning, so that
// rounding errors do not add up.
func Open(i int, rate float64) time.Duration {
	return time.Duration(float64(i) / rate * float64(time.Second))
}
