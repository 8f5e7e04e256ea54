package storage

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"grapnel/internal/hook"
	"grapnel/internal/pgtest"
)

// Template is the content of the tests' databases. TestMain sets it: the tests in this package can't import pgtemplate,
// which imports this package.
var Template pgtest.Template

// GoMigrations returns the migrations that are written in Go.
func GoMigrations() []*goose.Migration {
	var m Migrator
	return m.goMigrations()
}

// ListSettings are the settings under which pages of lists are read; MaxRowsRead is how many rows a page reads at
// most.
const (
	ListSettings = listSettings
	MaxRowsRead  = maxRowsRead
)

// MostSearched and MostSteps are how many deliveries and events a page of a search reads at most.
const (
	MostSearched = mostSearched
	MostSteps    = mostSteps
)

// FindSQL returns the statement that looks up a thing of a kind by its id.
func FindSQL(kind hook.ThingKind) string { return findSQL(kind) }

// SearchPages returns the statements that read a page of a search.
func SearchPages(of hook.TenantFilter, f hook.DeliverySearch, p hook.Page) (list []Statement) {
	for _, l := range searchListings(of, &f, false, false) {
		list = append(list, l.statements(p)...)
	}
	return list
}

// FindOldestFirst is FindDeliveries in the other order.
func (s *Store) FindOldestFirst(ctx context.Context, tenant hook.TenantID, f hook.DeliverySearch, p hook.Page) ([]hook.Delivery, *[16]byte, error) {
	return s.findDeliveries(ctx, hook.OneTenant(tenant), f, p, true)
}

// ListError returns a list's error for an error of the driver.
func ListError(err error) error { return mapListError(err) }

// Statement is a statement with its arguments.
type Statement struct {
	SQL  string
	Args pgx.StrictNamedArgs
}

// DeliveriesPage returns the statements that read a page of a webhook's deliveries.
func DeliveriesPage(w hook.WebhookID, f hook.DeliveryFilter, p hook.Page) []Statement {
	l := deliveriesListing(w, f, false)
	return l.statements(p)
}

// EventsPage returns the statements that read a page of events.
func EventsPage(of hook.TenantFilter, f hook.EventFilter, p hook.Page) []Statement {
	l := eventsListing(of, f, p.Bytes)
	return l.statements(p)
}

// ReplaysPage returns the statements that read a page of replays.
func ReplaysPage(of hook.TenantFilter, webhook *hook.WebhookID, p hook.Page) []Statement {
	l := replaysListing(of, webhook)
	return l.statements(p)
}

// AllWebhooksPage returns the statements that read a page of the webhooks of all tenants.
func AllWebhooksPage(f hook.WebhookFilter, p hook.Page) []Statement {
	l := allWebhooksListing(f)
	return l.statements(p)
}

// TenantsPage returns the statements that read a page of tenants.
func TenantsPage(search hook.TenantSearch, p hook.Page) []Statement {
	l := tenantsListing(search)
	return l.statements(p)
}

// KnownType returns the statement that looks up a type.
func KnownType() Statement {
	sql := `select t.schema_hash from (select @tenant::uuid as tenant_id, @name::text as name) k cross join lateral (` + knownType + `) t`
	return Statement{sql, pgx.StrictNamedArgs{"tenant": [16]byte{1}, "name": "order.n1"}}
}

// EventTypesPage returns the statement that reads a page of a tenant's event types.
func EventTypesPage(tenant hook.TenantID, p hook.NamePage) Statement {
	return Statement{eventTypesSQL, pgx.StrictNamedArgs{
		"tenant_id": [16]byte(tenant), "after": p.After, "limit": p.Limit, "bytes": p.Bytes, "group": "", "deprecated": false,
	}}
}

// Claim returns the statement that claims a page of the outbox.
func Claim(c hook.OutboxClaim) Statement {
	sql, args := claimStatement(&c)
	return Statement{sql, args}
}

// Starts returns the statement that reads the starts of claimed events.
func Starts(process hook.ProcessID, events []hook.EventID) Statement {
	return Statement{startsSQL, startsArgs(process, events, make([]string, len(events)))}
}

func (l *listing) statements(p hook.Page) []Statement {
	l.bound(p)
	list := []Statement{{l.page(), l.pageArgs(p.Limit + 1)}}
	if l.searches() {
		list = append(list, Statement{l.lastRead(), l.args})
	}
	return list
}
