package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

const tenantColumns = `t.id, coalesce(t.external_id, '') as external_id, t.name, t.metadata, t.status, t.max_webhooks, t.publish_rate,
	t.created_at, t.updated_at, ` + deletionColumn + ` as deletion`

type tenantRow struct {
	ID          [16]byte
	ExternalID  string
	Name        string
	Metadata    map[string]string
	Status      string
	MaxWebhooks *int
	PublishRate *int
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Deletion    *deletionRow
}

func (r *tenantRow) tenant() hook.Tenant {
	return hook.Tenant{
		ID: r.ID, ExternalID: r.ExternalID, Name: r.Name, Metadata: r.Metadata, Status: hook.TenantStatus(r.Status),
		Limits: hook.TenantLimits{MaxWebhooks: r.MaxWebhooks, PublishRate: r.PublishRate}, Deletion: r.Deletion.deletion(), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

// tenantArgs are the columns that clients choose.
func tenantArgs(t *hook.Tenant) pgx.StrictNamedArgs {
	metadata := t.Metadata
	if metadata == nil {
		metadata = map[string]string{} // and not null
	}
	return pgx.StrictNamedArgs{
		"id": [16]byte(t.ID), "external_id": t.ExternalID, "name": t.Name, "metadata": metadata,
		"max_webhooks": t.Limits.MaxWebhooks, "publish_rate": t.Limits.PublishRate,
	}
}

// changeArgs are the columns that clients change.
func changeArgs(t *hook.Tenant) pgx.StrictNamedArgs {
	args := tenantArgs(t)
	args["status"] = string(t.Status)
	return args
}

const insertTenantSQL = `
	insert into tenants as t (id, external_id, name, metadata, max_webhooks, publish_rate)
	values (@id, nullif(@external_id, ''), @name, @metadata, @max_webhooks, @publish_rate)`

// CreateTenant stores a validated tenant with an admin key of the given text, without which nobody but the platform
// could use the tenant. It is a conflict if the external id is taken.
func (s *Store) CreateTenant(ctx context.Context, t hook.Tenant, text hook.Secret) (hook.Tenant, hook.APIKey, error) {
	t.ID = newID[hook.TenantID]()
	k := hook.APIKey{TenantID: t.ID, Name: "first key", Scopes: []hook.Scope{hook.ScopeAdmin}}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		if t, err = oneTenant(ctx, tx, insertTenantSQL+` returning `+tenantColumns, tenantArgs(&t)); err != nil {
			return err
		}
		if err := auditTenant(ctx, tx, nil, &t); err != nil {
			return err
		}
		return createKey(ctx, tx, &k, text)
	})
	if err != nil {
		return hook.Tenant{}, hook.APIKey{}, mapErr(fmt.Errorf("insert tenant: %w", err))
	}
	return t, k, nil
}

// oneTenant returns the tenant that a statement returns; pgx.ErrNoRows if it returns none.
func oneTenant(ctx context.Context, q querier, sql string, args ...any) (hook.Tenant, error) {
	rows, _ := q.Query(ctx, sql, args...)
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[tenantRow])
	if err != nil {
		return hook.Tenant{}, err
	}
	return row.tenant(), nil
}

// tenantNamed returns the condition that a tenant t has a name, and its argument, $1. A name is an id or an external
// id. ok is false if no tenant can have it.
func tenantNamed(name string) (condition string, arg any, ok bool) {
	if !hook.IsTenantID(name) {
		return `t.external_id = $1`, name, hook.ExternalIDProblem(name) == ""
	}
	id, err := hook.ParseTenantID(name)
	return `t.id = $1`, [16]byte(id), err == nil
}

// FindTenant returns the tenant with an id or an external id (K2). Otherwise the error is hook.NoTenant.
func (s *Store) FindTenant(ctx context.Context, name string) (hook.Tenant, error) {
	return findTenant(ctx, s.pool, name, ``)
}

// findTenant reads a tenant, and locks its row as lock says.
func findTenant(ctx context.Context, q querier, name, lock string) (hook.Tenant, error) {
	condition, arg, ok := tenantNamed(name)
	if !ok {
		return hook.Tenant{}, hook.NoTenant()
	}
	t, err := oneTenant(ctx, q, `select `+tenantColumns+` from tenants t where `+condition+lock, arg)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, hook.NoTenant()
	}
	if err != nil {
		return t, mapErr(fmt.Errorf("select tenant: %w", err))
	}
	return t, nil
}

// FindTenants returns the tenants with these ids or external ids, by the names as they are given. Names that no
// tenant has are left out, as are those of tenants that are being deleted. It is one look-up, however many names there are (K5).
func (s *Store) FindTenants(ctx context.Context, names []string) (map[string]hook.NamedTenant, error) {
	var external, named []string
	var ids [][16]byte
	for _, name := range names {
		_, arg, ok := tenantNamed(name)
		id, isID := arg.([16]byte)
		switch {
		case !ok:
		case isID:
			ids, named = append(ids, id), append(named, name)
		default:
			external = append(external, name)
		}
	}
	found := make(map[string]hook.NamedTenant, len(names))
	if len(external)+len(ids) == 0 {
		return found, nil
	}
	// The offsets make the planner look each name up by its index.
	rows, _ := s.pool.Query(ctx, `
		select n.name, t.id, t.publish_rate, t.status = 'suspended' from unnest($1::text[]) as n(name)
		cross join lateral (select * from tenants t where t.external_id = n.name and t.status <> 'deleting' offset 0) t
		union all
		select n.name, t.id, t.publish_rate, t.status = 'suspended' from unnest($2::uuid[], $3::text[]) as n(id, name)
		cross join lateral (select * from tenants t where t.id = n.id and t.status <> 'deleting' offset 0) t`, external, ids, named)
	var name string
	var t hook.NamedTenant
	_, err := pgx.ForEachRow(rows, []any{&name, (*[16]byte)(&t.ID), &t.PublishRate, &t.Suspended}, func() error {
		found[name] = t
		t = hook.NamedTenant{} // the map keeps the rate
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("look up %d tenants: %w", len(names), err))
	}
	return found, nil
}

// UpdateTenant applies change to the tenant with an id or an external id and stores the result. An external id is
// stored only if the tenant has none. change runs within the transaction and must do no I/O; its error is returned as
// it is, and nothing is stored. If it changes nothing, nothing is written. It is over the limit if the tenant would have
// more webhooks than it may have (K7). A change of the status holds or releases the tenant's webhooks (K8); when the tenant
// is suspended it returns only when nothing is accepted or sent for it any more. A tenant that is being deleted can't be
// changed.
func (s *Store) UpdateTenant(ctx context.Context, name string, change func(*hook.Tenant) error) (t hook.Tenant, err error) {
	var status hook.TenantStatus
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Keys and webhooks of the tenant can be stored meanwhile; webhooks only before or after the change (webhook_begins).
		before, err := findTenant(ctx, tx, name, ` for no key update`)
		if err != nil {
			return err
		}
		if before.Status == hook.TenantDeleting {
			return beingDeleted()
		}
		t, status = before, before.Status
		if err := change(&t); err != nil || t.Equal(&before) {
			return err
		}
		if err := refuseBelow(ctx, tx, &before, &t); err != nil {
			return err
		}
		t, err = oneTenant(ctx, tx, `
			update tenants t set external_id = coalesce(t.external_id, nullif(@external_id, '')), name = @name, metadata = @metadata, status = @status,
				max_webhooks = @max_webhooks, publish_rate = @publish_rate, updated_at = now()
			where t.id = @id returning `+tenantColumns, changeArgs(&t))
		if err != nil {
			return err
		}
		if t.Status != before.Status {
			if err := holdWebhooks(ctx, tx, t.ID, t.Status == hook.TenantSuspended); err != nil {
				return err
			}
		}
		return auditTenant(ctx, tx, &before, &t)
	})
	if err != nil {
		return hook.Tenant{}, mapErr(fmt.Errorf("update tenant: %w", err))
	}
	s.cache.putRate(t.ID, t.Limits.PublishRate)
	if t.Status != status && t.Status == hook.TenantSuspended {
		s.awaitHeld(ctx)
	}
	return t, nil
}

// putTries bounds how often a put begins again: because the tenant was created, or deleted, in between.
const putTries = 5

// PutTenant makes sure that there is a tenant with a valid external id (K2). create makes a new one, and change is
// applied to one that exists, as UpdateTenant does. Several calls at the same time create one tenant. A call that
// changes nothing is one read: backends may make it before every use.
func (s *Store) PutTenant(
	ctx context.Context, externalID string, create func() (hook.Tenant, error), change func(*hook.Tenant) error,
) (t hook.Tenant, created bool, err error) {
	for range putTries {
		before, err := s.FindTenant(ctx, externalID)
		switch {
		case err == nil:
			if before.Status == hook.TenantDeleting {
				return hook.Tenant{}, false, beingDeleted()
			}
			t = before
			if err := change(&t); err != nil {
				return hook.Tenant{}, false, err
			}
			if t.Equal(&before) {
				return before, false, nil
			}
			if t, err = s.UpdateTenant(ctx, externalID, change); hook.KindOf(err) != hook.KindNoTenant {
				return t, false, err
			}
			continue // it has been deleted since
		case hook.KindOf(err) != hook.KindNoTenant:
			return hook.Tenant{}, false, err
		}
		if t, err = create(); err != nil {
			return hook.Tenant{}, false, err
		}
		t.ID, t.ExternalID = newID[hook.TenantID](), externalID
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			t, err = oneTenant(ctx, tx, insertTenantSQL+` on conflict (external_id) do nothing returning `+tenantColumns, tenantArgs(&t))
			if err != nil {
				return err
			}
			return auditTenant(ctx, tx, nil, &t)
		})
		if errors.Is(err, pgx.ErrNoRows) {
			continue // it has been created since
		}
		if err != nil {
			return hook.Tenant{}, false, mapErr(fmt.Errorf("put tenant: %w", err))
		}
		return t, true, nil
	}
	return hook.Tenant{}, false, hook.Unavailable("the tenant", errors.New("put tenant: it is created and deleted all the time"))
}

// Tenants lists the tenants that the search finds, newest first. A page may be short, even empty, without being the
// last: next is where the next page begins, nil at the end.
func (s *Store) Tenants(ctx context.Context, search hook.TenantSearch, p hook.Page) (list []hook.Tenant, next *[16]byte, err error) {
	l := tenantsListing(search)
	list, next, err = readPage(ctx, s, &l, p, collectTenants, func(t *hook.Tenant) [16]byte { return t.ID })
	if err != nil {
		return nil, nil, fmt.Errorf("list tenants: %w", err)
	}
	return list, next, nil
}

func tenantsListing(search hook.TenantSearch) listing {
	l := listing{table: "tenants", alias: "t", columns: tenantColumns, args: pgx.StrictNamedArgs{}}
	if search.Status != "" {
		l.filter = append(l.filter, `t.status = @status`)
		l.choose(pgx.StrictNamedArgs{"status": string(search.Status)})
	}
	if search.NamePrefix != "" {
		l.filter = append(l.filter, `starts_with(t.name, @prefix)`)
		l.choose(pgx.StrictNamedArgs{"prefix": search.NamePrefix})
	}
	return l
}

func collectTenants(rows pgx.Rows) (list []hook.Tenant, err error) {
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[tenantRow])
	for i := range found {
		list = append(list, found[i].tenant())
	}
	return list, err
}

// Tenant finds a tenant by its id, its external id, or a name that no other tenant has. It is for people, who may know
// any of them.
func (s *Store) Tenant(ctx context.Context, name string) (hook.TenantID, error) {
	t, err := s.FindTenant(ctx, name)
	if err == nil && t.Status == hook.TenantDeleting {
		return hook.TenantID{}, beingDeleted()
	}
	if err == nil || hook.KindOf(err) != hook.KindNoTenant {
		return t.ID, err
	}
	rows, _ := s.pool.Query(ctx, `select id from tenants where name = $1 and status <> 'deleting' limit 2`, name)
	found, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	switch {
	case err != nil:
		return hook.TenantID{}, mapErr(fmt.Errorf("select tenant %s: %w", name, err))
	case len(found) == 0:
		return hook.TenantID{}, hook.NotFound("tenant " + name)
	case len(found) > 1:
		return hook.TenantID{}, &hook.Error{Kind: hook.KindConflict, Message: "several tenants have the name " + name + ": give an id or an external id"}
	}
	return found[0], nil
}
