package hook

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Tenant is an account (spec 0).
type Tenant struct {
	ID        TenantID
	Name      string
	CreatedAt time.Time
}

// maxTenantName bounds a tenant's name, in characters.
const maxTenantName = 100

// Validate reports what is wrong with a new tenant.
func (t *Tenant) Validate() error {
	var v violations
	if t.Name == "" || utf8.RuneCountInString(t.Name) > maxTenantName || !cleanText(t.Name) || strings.TrimSpace(t.Name) != t.Name {
		v.add("body.name", nil, "must be 1 to %d characters without control characters or surrounding spaces", maxTenantName)
	}
	return v.err()
}
