package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// A portal session is a row that every request of its token reads: it is cached nowhere, so it ends in every process when
// the change that ends it is committed. docs/adr/0016-portal-sessions.md has the reasons.

// sessionColumns are the columns of sessionRow, in any query that reads portal_sessions as p.
const sessionColumns = `p.id, p.tenant_id, p.name, p.capabilities, p.theme::text::bytea as theme, p.created_at, p.expires_at`

// sessionIsLive is the condition that a session p has not ended.
const sessionIsLive = `p.revoked_at is null and p.expires_at > now()`

type sessionRow struct {
	ID           [16]byte
	TenantID     [16]byte
	Name         string
	Capabilities []string
	Theme        []byte
	CreatedAt    time.Time
	ExpiresAt    time.Time
}

func (r *sessionRow) session() (hook.PortalSession, error) {
	s := hook.PortalSession{ID: r.ID, TenantID: r.TenantID, Name: r.Name, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt}
	for _, c := range r.Capabilities {
		s.Capabilities = append(s.Capabilities, hook.Capability(c))
	}
	if r.Theme != nil {
		if err := json.Unmarshal(r.Theme, &s.Theme); err != nil {
			return s, fmt.Errorf("theme of %s: %w", s.ID, err)
		}
	}
	return s, nil
}

// CreateSession stores a validated portal session for its life under the hash of its token, and returns it with its id and
// times. The token itself is never stored. At most hook.MaxSessions of a tenant are live. The error is hook.NoTenant if there
// is no such tenant, or if it is being deleted.
func (s *Store) CreateSession(ctx context.Context, p hook.PortalSession, token hook.Secret, life time.Duration) (hook.PortalSession, error) {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Two concurrent calls must not both take the last place.
		rows, _ := tx.Query(ctx, `select status from tenants where id = $1 for no key update`, [16]byte(p.TenantID))
		status, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
		if errors.Is(err, pgx.ErrNoRows) || status == string(hook.TenantDeleting) {
			return hook.NoTenant()
		}
		if err != nil {
			return err
		}
		var live int
		err = tx.QueryRow(ctx, `
			select count(*) from (select from portal_sessions p where p.tenant_id = $1 and `+sessionIsLive+` limit $2) p`,
			[16]byte(p.TenantID), hook.MaxSessions).Scan(&live)
		if err != nil {
			return err
		}
		if live >= hook.MaxSessions {
			return hook.LimitExceeded("the account has %d portal sessions, the most that it may have at once: revoke some, or let them expire sooner", hook.MaxSessions)
		}
		if err := insertSession(ctx, tx, &p, token, life); err != nil {
			return err
		}
		return audit(ctx, tx, hook.AuditEntry{
			TenantID: p.TenantID, Action: hook.AuditSessionCreated, Target: p.AuditTarget(), Changes: hook.AuditChanges(nil, p.AuditMembers()),
		})
	})
	if err != nil {
		return hook.PortalSession{}, mapErr(fmt.Errorf("insert portal session: %w", err))
	}
	return p, nil
}

// insertSession stores a session and fills in what the store gives it.
func insertSession(ctx context.Context, tx pgx.Tx, p *hook.PortalSession, token hook.Secret, life time.Duration) error {
	p.ID = newID[hook.PortalSessionID]()
	names := make([]string, 0, len(p.Capabilities))
	for _, c := range p.Capabilities {
		names = append(names, string(c))
	}
	var theme *string
	if p.Theme != nil {
		text, err := json.Marshal(p.Theme)
		if err != nil {
			return err
		}
		stored := string(text)
		theme = &stored
	}
	return tx.QueryRow(ctx, `
		insert into portal_sessions (id, tenant_id, hash, name, capabilities, theme, expires_at)
		values ($1, $2, $3, $4, $5, $6::text::json, now() + $7::interval) returning created_at, expires_at`,
		[16]byte(p.ID), [16]byte(p.TenantID), hashKey(token), p.Name, names, theme, life).Scan(&p.CreatedAt, &p.ExpiresAt)
}

// foundSession is a session with what a request of its token needs to know of its tenant.
type foundSession struct {
	sessionRow
	Live       bool
	Suspended  bool
	ExternalID string
}

// AuthenticateSession finds the portal session whose token has this hash, as the key of its requests. named is how the
// request names a tenant, by id or external id, "" if it does not. It is not found if there was no such session, or it ended
// long ago, and otherwise hook.SessionEnded if it has ended: it was revoked, has expired, or its tenant is being deleted.
func (s *Store) AuthenticateSession(ctx context.Context, hash hook.KeyHash, named string) (hook.Authentication, error) {
	rows, _ := s.pool.Query(ctx, `
		select `+sessionColumns+`, `+sessionIsLive+` and t.status <> 'deleting' as live, t.status = 'suspended' as suspended,
			coalesce(t.external_id, '') as external_id
		from portal_sessions p join tenants t on t.id = p.tenant_id where p.hash = $1`, hash[:])
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[foundSession])
	if err != nil {
		return hook.Authentication{}, notFound("portal session", fmt.Errorf("look up portal session: %w", err))
	}
	if !found.Live {
		return hook.Authentication{}, hook.SessionEnded()
	}
	p, err := found.session()
	if err != nil {
		return hook.Authentication{}, err
	}
	// Whether the tenant has event types with a schema is not looked up: a session publishes nothing, and its tests can
	// pay for the look-up themselves.
	a := hook.Authentication{Key: p.Key(), Suspended: found.Suspended, Schemas: true}
	if named != "" && (named == found.ExternalID || named == p.TenantID.String()) {
		a.Named = p.TenantID
	}
	return a, nil
}

// Sessions lists the portal sessions that have not ended, newest first: of one tenant, or of all. A page may be short, even
// empty, without being the last: next is where the next page begins, nil at the end.
func (s *Store) Sessions(ctx context.Context, of hook.TenantFilter, p hook.Page) (list []hook.PortalSession, next *[16]byte, err error) {
	l := listing{table: "portal_sessions", alias: "p", columns: sessionColumns, filter: []string{sessionIsLive}, args: pgx.StrictNamedArgs{}}
	l.ofTenants(of)
	list, next, err = readPage(ctx, s, &l, p, collectSessions, func(p *hook.PortalSession) [16]byte { return p.ID })
	if err != nil {
		return nil, nil, fmt.Errorf("list portal sessions: %w", err)
	}
	return list, next, nil
}

func collectSessions(rows pgx.Rows) ([]hook.PortalSession, error) {
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[sessionRow])
	if err != nil {
		return nil, err
	}
	list := make([]hook.PortalSession, 0, len(found))
	for i := range found {
		p, err := found[i].session()
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// RevokeSession ends a portal session of the tenant at once, in every process. Revoking one that has ended is no error and
// changes nothing.
func (s *Store) RevokeSession(ctx context.Context, tenant hook.TenantID, id hook.PortalSessionID) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			select `+sessionColumns+`, `+sessionIsLive+` as live, false as suspended, '' as external_id
			from portal_sessions p where p.id = $1 and p.tenant_id = $2 for update`, [16]byte(id), [16]byte(tenant))
		found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[foundSession])
		if err != nil {
			return notFound("portal session", err)
		}
		if !found.Live {
			return nil
		}
		p, err := found.session()
		if err != nil {
			return err
		}
		var at time.Time
		if err := tx.QueryRow(ctx, `update portal_sessions set revoked_at = now() where id = $1 returning revoked_at`, [16]byte(id)).Scan(&at); err != nil {
			return err
		}
		return audit(ctx, tx, hook.AuditEntry{
			TenantID: tenant, Action: hook.AuditSessionRevoked, Target: p.AuditTarget(),
			Changes: hook.AuditChanges(nil, []hook.AuditMember{{Name: "revoked_at", Value: at.UTC()}}),
		})
	})
	if err != nil {
		return mapErr(fmt.Errorf("revoke portal session %s: %w", id, err))
	}
	return nil
}

// RevokeSessions ends all portal sessions of the tenant at once, in every process, and returns how many. The audit log has
// one entry for all of them.
func (s *Store) RevokeSessions(ctx context.Context, tenant hook.TenantID) (revoked int, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Sessions that are being created end as well, or are created after this.
		if _, err := tx.Exec(ctx, `select from tenants where id = $1 for no key update`, [16]byte(tenant)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `update portal_sessions p set revoked_at = now() where p.tenant_id = $1 and `+sessionIsLive, [16]byte(tenant))
		if err != nil {
			return err
		}
		if revoked = int(tag.RowsAffected()); revoked == 0 {
			return nil
		}
		return audit(ctx, tx, hook.AuditEntry{
			TenantID: tenant, Action: hook.AuditSessionRevoked, Target: hook.AuditTarget{Kind: hook.TargetPortalSession},
			Changes: hook.AuditChanges(nil, []hook.AuditMember{{Name: "revoked", Value: revoked}}),
		})
	})
	if err != nil {
		return 0, mapErr(fmt.Errorf("revoke portal sessions: %w", err))
	}
	return revoked, nil
}

// PurgeSessions deletes the portal sessions that expired longer ago than age, page by page, and returns how many.
func (s *Store) PurgeSessions(ctx context.Context, age time.Duration) (deleted int64, err error) {
	return s.purge(ctx, "portal sessions", age, `
		delete from portal_sessions where id = any(array(
			select id from portal_sessions where expires_at < now() - $1::interval order by expires_at limit $2 for update skip locked))`)
}
