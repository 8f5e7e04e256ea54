package hook

import (
	"math"
	"time"
)

// StatsStep is the length of the periods in which statistics are counted (P6).
type StatsStep string

// The steps. A day is a day of UTC.
const (
	StepMinute StatsStep = "minute"
	StepHour   StatsStep = "hour"
	StepDay    StatsStep = "day"
)

// StatsSteps returns the steps, the shortest first.
func StatsSteps() []StatsStep { return []StatsStep{StepMinute, StepHour, StepDay} }

// How long the counts of minutes and hours are kept. Those of days are kept as long as usage.
const (
	StatsMinutesKept = 6 * time.Hour
	StatsHoursKept   = 35 * 24 * time.Hour
)

// Length returns the duration of a step.
func (s StatsStep) Length() time.Duration {
	switch s {
	case StepMinute:
		return time.Minute
	case StepHour:
		return time.Hour
	case StepDay:
	}
	return 24 * time.Hour
}

// Kept returns how long the counts of a step are kept; 0 if a setting says so.
func (s StatsStep) Kept() time.Duration {
	switch s {
	case StepMinute:
		return StatsMinutesKept
	case StepHour:
		return StatsHoursKept
	case StepDay:
	}
	return 0
}

// Stats counts what happened in a period, without tests.
type Stats struct {
	// Delivered and Failed count the deliveries that ended in the period: with success, and for good without. A delivery
	// that succeeds by a retry by hand after it had failed is in both. Those canceled with their webhook are in neither.
	Delivered, Failed int64
	// Attempts counts the requests that were recorded in the period, and FailedAttempts those of them that were not
	// answered with 2xx.
	Attempts, FailedAttempts int64
	Latencies                Latencies
}

// Add adds the counts of another period.
func (s *Stats) Add(more *Stats) {
	s.Delivered += more.Delivered
	s.Failed += more.Failed
	s.Attempts += more.Attempts
	s.FailedAttempts += more.FailedAttempts
	for i, n := range more.Latencies {
		s.Latencies[i] += n
	}
}

// StatsPoint is the counts of the period that begins at At, in UTC.
type StatsPoint struct {
	At time.Time
	Stats
}

// WebhookStats is the counts of a webhook.
type WebhookStats struct {
	WebhookID WebhookID
	Stats
}

// StatsFilter selects statistics.
type StatsFilter struct {
	Of TenantFilter
	// WebhookID restricts them to one webhook; the zero value does not.
	WebhookID WebhookID
	// From and To bound the beginnings of the periods: from <= at < to. They are beginnings of periods.
	From, To time.Time
	Step     StatsStep
}

// LatencyBuckets is the number of buckets of Latencies.
const LatencyBuckets = 24

// Latencies counts requests by their duration. The bounds of its buckets grow by latencyGrowth from one to the next: bucket
// 0 is below 1 ms, bucket i from latencyGrowth^(i-1) ms on, and the last one from 30.9 s on. So a percentile that is read
// from it is an estimate: it is in the right bucket.
type Latencies [LatencyBuckets]int64

// latencyGrowth makes the last bound the longest time-out of a request: 1.6^22 ms = 30.9 s.
const latencyGrowth = 1.6

// latencyBound returns the lower bound of a bucket in milliseconds.
func latencyBound(bucket int) float64 {
	if bucket == 0 {
		return 0
	}
	return math.Pow(latencyGrowth, float64(bucket-1))
}

// LatencyBucket returns the bucket of a duration.
func LatencyBucket(d time.Duration) int {
	ms := float64(d) / float64(time.Millisecond)
	for bucket := LatencyBuckets - 1; bucket > 0; bucket-- {
		if ms >= latencyBound(bucket) {
			return bucket
		}
	}
	return 0
}

// Percentile returns the duration in milliseconds that a share of the requests, 0 to 1, did not exceed. Within a bucket
// durations are taken to be spread evenly. ok is false if there are no requests.
func (l *Latencies) Percentile(share float64) (ms float64, ok bool) {
	total := int64(0)
	for _, n := range l {
		total += n
	}
	if total == 0 {
		return 0, false
	}
	rank, below := share*float64(total), 0.0
	for bucket, n := range l {
		if n == 0 {
			continue
		}
		if rank <= below+float64(n) {
			low, high := latencyBound(bucket), latencyBound(bucket+1)
			return low + (high-low)*(rank-below)/float64(n), true
		}
		below += float64(n)
	}
	return latencyBound(LatencyBuckets), true // rounding
}
