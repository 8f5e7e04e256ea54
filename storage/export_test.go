package storage

import (
	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"grapnel/internal/hook"
)

// GoMigrations are the migrations that are not files of SQL.
func GoMigrations() []*goose.Migration {
	var m Migrator
	return m.goMigrations()
}

// ListSettings and MaxRowsRead are what pages of lists are read with.
const (
	ListSettings = listSettings
	MaxRowsRead  = maxRowsRead
)

// ListError is what a list returns for an error of the driver.
func ListError(err error) error { return mapListError(err) }

// Statement is a statement with its arguments.
type Statement struct {
	SQL  string
	Args pgx.StrictNamedArgs
}

// DeliveriesPage are the statements that read a page of a webhook's deliveries.
func DeliveriesPage(w hook.WebhookID, f hook.DeliveryFilter, p hook.Page) []Statement {
	l := deliveriesListing(w, f, false)
	return l.statements(p)
}

// EventsPage are the statements that read a page of a tenant's events.
func EventsPage(tenant hook.TenantID, f hook.EventFilter, p hook.Page) []Statement {
	l := eventsListing(tenant, f, p.Bytes)
	return l.statements(p)
}

func (l *listing) statements(p hook.Page) []Statement {
	l.bound(p)
	list := []Statement{{l.page(), l.pageArgs(p.Limit + 1)}}
	if len(l.filter) > 0 {
		list = append(list, Statement{l.lastRead(), l.args})
	}
	return list
}
