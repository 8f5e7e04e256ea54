package hook

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Tenant is an account: one customer of a platform (K1).
type Tenant struct {
	ID TenantID
	// ExternalID is the platform's own id of the tenant, unique among tenants; empty if it has none. It is given once
	// and never changes, so that what is known about it (see ADR 11) can only be out of date in one way: the tenant is
	// gone.
	ExternalID string
	// Name is for people. Several tenants may have the same.
	Name     string
	Metadata map[string]string
	Status   TenantStatus
	Limits   TenantLimits
	// Deletion is the progress of its deletion; nil unless Status is TenantDeleting.
	Deletion *Deletion

	CreatedAt time.Time
	UpdatedAt time.Time
}

// TenantStatus is the state of a tenant (K1).
type TenantStatus string

// The states of a tenant.
const (
	TenantActive TenantStatus = "active"
	// TenantSuspended is the state of a tenant for which nothing is published or sent, and of which nothing is lost.
	TenantSuspended TenantStatus = "suspended"
	// TenantDeleting is the state of a tenant while everything that it has is being deleted.
	TenantDeleting TenantStatus = "deleting"
)

// TenantStatuses lists the states of a tenant.
func TenantStatuses() []TenantStatus {
	return []TenantStatus{TenantActive, TenantSuspended, TenantDeleting}
}

// TenantLimits are the limits of one tenant (K1). Nil is the default of the process, 0 is no limit.
type TenantLimits struct {
	// MaxWebhooks bounds how many webhooks the tenant has.
	MaxWebhooks *int
	// PublishRate bounds how many events it publishes in a second.
	PublishRate *int
}

// TenantFilter names the tenants whose things a list has. The zero value names none.
type TenantFilter struct {
	ID TenantID
	// All stands for every tenant (K4); ID is then the zero value.
	All bool
}

// OneTenant returns the filter that names one tenant.
func OneTenant(id TenantID) TenantFilter { return TenantFilter{ID: id} }

// TenantSearch restricts the list of tenants. The zero value restricts nothing.
type TenantSearch struct {
	Status TenantStatus
	// NamePrefix is what names begin with, in the same case.
	NamePrefix string
}

// EveryTenant stands for all tenants where a request may name them (K4).
const EveryTenant = "*"

// Bounds of a tenant's values (K1), in characters if they are of text.
const (
	maxTenantName    = 100
	maxExternalID    = 255
	maxMetadata      = 50
	maxMetadataKey   = 64
	maxMetadataValue = 1000
)

// MaxTenantLimit is the largest value of a tenant's limits.
const MaxTenantLimit = 1_000_000

// tenantPrefix is the beginning of every tenant's id, and of no external id: so a name is one or the other.
const tenantPrefix = prefixTenant + "_"

// IsTenantID reports whether a name of a tenant is an id, valid or not, and no external id.
func IsTenantID(name string) bool { return strings.HasPrefix(name, tenantPrefix) }

// ExternalIDProblem describes what is wrong with an external id; "" if it is valid. Spaces at the ends would be lost in
// a header, and "." and ".." in a path.
func ExternalIDProblem(id string) string {
	switch {
	case id == "" || utf8.RuneCountInString(id) > maxExternalID || !isPrintable(id):
		return "must be 1 to 255 printable characters"
	case strings.TrimSpace(id) != id:
		return "must not begin or end with a space"
	case IsTenantID(id):
		return "must not begin with ten_: ids that this service gives begin with it"
	case id == EveryTenant:
		return "must not be *, which stands for all tenants"
	case id == "." || id == "..":
		return "must not be a dot or two, which can't be in a path"
	}
	return ""
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// NameFrom returns the name of a tenant that is only given an external id.
func NameFrom(externalID string) string {
	if utf8.RuneCountInString(externalID) <= maxTenantName {
		return externalID
	}
	return strings.TrimSpace(string([]rune(externalID)[:maxTenantName]))
}

// Equal reports whether both have the same values, apart from the times.
func (t *Tenant) Equal(o *Tenant) bool {
	return t.ID == o.ID && t.ExternalID == o.ExternalID && t.Name == o.Name && t.Status == o.Status &&
		maps.Equal(t.Metadata, o.Metadata) && equalLimit(t.Limits.MaxWebhooks, o.Limits.MaxWebhooks) && equalLimit(t.Limits.PublishRate, o.Limits.PublishRate)
}

func equalLimit(a, b *int) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// Validate reports every wrong value of a tenant at once.
func (t *Tenant) Validate() error {
	var v violations
	if t.ExternalID != "" {
		if problem := ExternalIDProblem(t.ExternalID); problem != "" {
			v.add("body.external_id", shown(t.ExternalID), "%s", problem)
		}
	}
	if t.Name == "" || utf8.RuneCountInString(t.Name) > maxTenantName || !cleanText(t.Name) || strings.TrimSpace(t.Name) != t.Name {
		v.add("body.name", nil, "must be 1 to %d characters without control characters or surrounding spaces", maxTenantName)
	}
	t.validateMetadata(&v)
	for _, l := range []struct {
		location string
		limit    *int
	}{{"body.limits.max_webhooks", t.Limits.MaxWebhooks}, {"body.limits.publish_rate", t.Limits.PublishRate}} {
		if l.limit != nil && (*l.limit < 0 || *l.limit > MaxTenantLimit) {
			v.add(l.location, *l.limit, "must be 0 (no limit) to %d", MaxTenantLimit)
		}
	}
	return v.err()
}

func (t *Tenant) validateMetadata(v *violations) {
	if len(t.Metadata) > maxMetadata {
		v.add("body.metadata", nil, "must have at most %d pairs", maxMetadata)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(t.Metadata)) {
		value := t.Metadata[key]
		location := "body.metadata." + key
		if key == "" || utf8.RuneCountInString(key) > maxMetadataKey || !cleanText(key) {
			v.add("body.metadata", shown(key), "must have keys of 1 to %d characters without control characters", maxMetadataKey)
		} else if utf8.RuneCountInString(value) > maxMetadataValue || !cleanText(value) {
			v.add(location, nil, "must be at most %d characters without control characters", maxMetadataValue)
		}
	}
}

// NamedTenant is what a publish needs to know of a tenant that it names.
type NamedTenant struct {
	ID TenantID
	// PublishRate is the tenant's own limit of events per second; nil is the process's limit (K7).
	PublishRate *int
	// Suspended says that nothing may be published for it (K8).
	Suspended bool
}
