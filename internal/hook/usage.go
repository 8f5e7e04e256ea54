package hook

import "time"

// Usage is what a tenant has used in a period (K10).
type Usage struct {
	TenantID TenantID
	// Start is the beginning of the period, in UTC.
	Start time.Time
	// Events counts the accepted events, without tests, and Bytes the bytes of their data in canonical form. The period is
	// that of the accept.
	Events, Bytes int64
	// Deliveries counts the deliveries that were created: with their events, and by replays when they made them.
	Deliveries int64
	// Attempts counts the requests, without tests, in the period in which they began. Successes are those that were answered
	// with 2xx; the others failed.
	Attempts, Successes int64
}

// Failures returns how many attempts failed.
func (u *Usage) Failures() int64 { return u.Attempts - u.Successes }

// UsagePeriod is the length of the periods in which usage is summed up.
type UsagePeriod string

// The periods. A day is a day of UTC.
const (
	ByHour UsagePeriod = "hour"
	ByDay  UsagePeriod = "day"
)

// Length returns the duration of a period.
func (p UsagePeriod) Length() time.Duration {
	if p == ByHour {
		return time.Hour
	}
	return 24 * time.Hour
}

// UsageFilter selects usage.
type UsageFilter struct {
	// Of names the tenants; each is counted by itself.
	Of TenantFilter
	// Since and Until bound the periods' beginnings, since <= start < until. They are beginnings of periods.
	Since, Until time.Time
	By           UsagePeriod
}

// TenantUsage is what a tenant has used in a period, with the tenant's external id; empty if it has none, or is gone.
type TenantUsage struct {
	Usage
	ExternalID string
}

// UsageMark is a place in a list of usage by tenant and period. The zero value is its beginning.
type UsageMark struct {
	TenantID TenantID
	Start    time.Time
}
