// Package bench loads a running Grapnel over HTTP, receives what it delivers, and
// reports rates, latencies, processor time, losses and duplicates as numbers, a
// table and charts. It knows the stack by its addresses and process ids only and
// imports nothing of the product. Publishing and receiving happen in one process,
// so that all times are read from one monotonic clock.
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
	CaseSoak       = "soak"
)

// Cases are all cases in the order in which they run: what others are compared
// with comes first, and what takes long comes last.
func Cases() []string { return append(DefaultCases(), LongCases()...) }

// DefaultCases are those that run when none is named.
func DefaultCases() []string {
	return []string{
		CaseFloor, CaseSaturation, CaseFanout, CaseBatch, CaseBurst, CaseIdle, CaseIsolation, CaseStored, CaseOutage,
	}
}

// LongCases are those that run only when they are named: they take long.
func LongCases() []string { return []string{CaseWide, CaseMany, CaseSoak} }

// CheckCases reports names that are no cases, all at once.
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

// Spec is what a load process is told.
type Spec struct {
	Case string `json:"case"`
	// Targets are the base URLs of what is published to, in turn; Key is the API
	// key of all.
	Targets []string `json:"targets"`
	Key     string   `json:"key"`
	// Processes are those whose processor time and memory are reported.
	Processes []Process `json:"processes"`

	// WarmUp is published and received before anything is measured; Window is
	// how long the measured load lasts; Drain is how long what was accepted may
	// take to arrive after that, before it counts as lost.
	WarmUp time.Duration `json:"warm_up"`
	Window time.Duration `json:"window"`
	Drain  time.Duration `json:"drain"`

	Publishers int `json:"publishers"`
	// Payload is the size of an event's data in bytes.
	Payload int `json:"payload"`
	// Rate is events per second, for the cases with a fixed rate.
	Rate float64 `json:"rate"`
	// Webhooks is how many there are in the cases that are about many.
	Webhooks int `json:"webhooks"`
}

// OutageLength is how long the receiver is down in the case outage.
func (s *Spec) OutageLength() time.Duration { return s.Window / 2 }

// OutageSchedule is a retry schedule of four delays under which no delivery
// runs out of attempts during an outage of the given length, and the last
// attempt of all is made half as long after its end.
func OutageSchedule(outage time.Duration) []time.Duration {
	unit := outage / 10
	return []time.Duration{unit, 2 * unit, 4 * unit, 8 * unit}
}

// Open is the intended time of the i-th event at a rate per second. It is
// computed from the beginning, so that rounding does not add up.
func Open(i int, rate float64) time.Duration {
	return time.Duration(float64(i) / rate * float64(time.Second))
}
