package bench

import (
	"cmp"
	"maps"
	"slices"
)

// Soak holds the measurements over the length of the case soak.
type Soak struct {
	// Rate is the number of events per second.
	Rate    float64  `json:"rate"`
	Minutes []Minute `json:"minutes"`
	// Samples are in chronological order: the first was taken at the beginning of the window, the last when
	// everything was delivered.
	Samples []Sample `json:"samples"`
	// Summary is filled in by Summarize.
	Summary SoakSummary `json:"summary"`
}

// Minute is the time to the receipt, in milliseconds, of the events that were due in one minute of the window. The
// last minute may be shorter.
type Minute struct {
	Minute     int     `json:"minute"` // from 1
	Deliveries int     `json:"deliveries"`
	P50        float64 `json:"p50"`
	P99        float64 `json:"p99"`
	Max        float64 `json:"max"`
}

// Sample is the state of the stack at one time.
type Sample struct {
	// Seconds is the time since the beginning of the window.
	Seconds float64 `json:"seconds"`
	// Memory is the resident memory in MiB, by process.
	Memory map[string]float64 `json:"memory_mib"`
	// Outbox is the number of rows in the outbox, and Outstanding the number of deliveries with an attempt to come.
	Outbox      int64 `json:"outbox"`
	Outstanding int64 `json:"outstanding"`
	// Tables are by name, each with all its partitions. Databases are sizes in bytes.
	Tables    map[string]Table `json:"tables"`
	Databases map[string]int64 `json:"databases_bytes"`
}

// Table is PostgreSQL's view of a table: tuples as its statistics count them, a little late and not exact, and its
// size with indexes in bytes.
type Table struct {
	Live  int64 `json:"live"`
	Dead  int64 `json:"dead"`
	Bytes int64 `json:"bytes"`
}

// SoakSummary is the change over the soak.
type SoakSummary struct {
	// P99PerMinute is the rise of the p99 in milliseconds per minute, by the straight line that fits the minutes
	// best; nil for fewer than two minutes.
	P99PerMinute *float64 `json:"p99_ms_per_minute,omitempty"`
	// MemoryPerMinute is the growth of each process in MiB per minute, by the same method.
	MemoryPerMinute map[string]float64 `json:"memory_mib_per_minute,omitempty"`
	// DeadShare is the ratio of dead to live tuples at the end, by table. Tables without live tuples are left out.
	DeadShare map[string]float64 `json:"dead_share_of_live,omitempty"`
	// BytesPerEvent is the growth of each database, divided by the number of accepted events.
	BytesPerEvent map[string]float64 `json:"bytes_per_event,omitempty"`
}

// Summarize computes the summary of the measurements, for a number of accepted events.
func (s *Soak) Summarize(events int) {
	s.Summary = SoakSummary{MemoryPerMinute: map[string]float64{}, DeadShare: map[string]float64{}, BytesPerEvent: map[string]float64{}}
	if rise, ok := Slope(s.p99()); ok {
		s.Summary.P99PerMinute = &rise
	}
	for process, points := range s.memory() {
		if rise, ok := Slope(points); ok {
			s.Summary.MemoryPerMinute[process] = rise
		}
	}
	if len(s.Samples) == 0 {
		return
	}
	first, last := &s.Samples[0], &s.Samples[len(s.Samples)-1]
	for name, table := range last.Tables {
		if table.Live > 0 {
			s.Summary.DeadShare[name] = float64(table.Dead) / float64(table.Live)
		}
	}
	for name, size := range last.Databases {
		if before, known := first.Databases[name]; known && events > 0 {
			s.Summary.BytesPerEvent[name] = float64(size-before) / float64(events)
		}
	}
}

// p99 returns the minutes that had deliveries as points (minute, p99).
func (s *Soak) p99() [][2]float64 {
	return s.minutes(func(m *Minute) float64 { return m.P99 })
}

func (s *Soak) minutes(value func(*Minute) float64) (points [][2]float64) {
	for i := range s.Minutes {
		if m := &s.Minutes[i]; m.Deliveries > 0 {
			points = append(points, [2]float64{float64(m.Minute), value(m)})
		}
	}
	return points
}

// memory returns points (minute, MiB) for each process.
func (s *Soak) memory() map[string][][2]float64 {
	lines := map[string][][2]float64{}
	for i := range s.Samples {
		for process, mib := range s.Samples[i].Memory {
			lines[process] = append(lines[process], [2]float64{s.Samples[i].Seconds / 60, mib})
		}
	}
	return lines
}

// Slope returns the slope of the straight line through points (x, y) with the least sum of squared distances in y. ok
// is false if fewer than two x differ.
func Slope(points [][2]float64) (slope float64, ok bool) {
	if len(points) == 0 {
		return 0, false
	}
	var meanX, meanY float64
	for _, p := range points {
		meanX += p[0] / float64(len(points))
		meanY += p[1] / float64(len(points))
	}
	var above, below float64
	for _, p := range points {
		above += (p[0] - meanX) * (p[1] - meanY)
		below += (p[0] - meanX) * (p[0] - meanX)
	}
	if below == 0 {
		return 0, false
	}
	return above / below, true
}

// firstMiddleLast returns three elements of a list, with repetitions if the list has fewer.
func firstMiddleLast[T any](list []T) [3]*T {
	if len(list) == 0 {
		return [3]*T{}
	}
	return [3]*T{&list[0], &list[(len(list)-1)/2], &list[len(list)-1]}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
