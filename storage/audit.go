package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// The audit log (K11). A change and its entry are one transaction: each method that changes something for a client
// calls audit with its transaction.

// audit logs a change by the actor of ctx. Without an actor it logs nothing: the change is Grapnel's own.
func audit(ctx context.Context, q execer, e hook.AuditEntry) error {
	actor, ok := hook.ActorOf(ctx)
	if !ok {
		return nil
	}
	if e.ID == (hook.AuditID{}) {
		e.ID = newID[hook.AuditID]()
	}
	if e.Changes == nil {
		e.Changes = []hook.AuditChange{}
	}
	changes, err := json.Marshal(e.Changes)
	if err != nil {
		return fmt.Errorf("encode the changes of %s: %w", e.Target.ID, err)
	}
	_, err = q.Exec(ctx, `
		insert into audit_log (id, tenant_id, actor_kind, actor_id, actor_name, address, action, target_kind, target_id, target_name, changes)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::json)`,
		[16]byte(e.ID), [16]byte(e.TenantID), string(actor.Kind), storableText(actor.ID), storableText(actor.Name), storableText(actor.Address),
		string(e.Action), string(e.Target.Kind), e.Target.ID, storableText(e.Target.Name), string(changes))
	if err != nil {
		return fmt.Errorf("log %s: %w", e.Action, err)
	}
	return nil
}

type auditRow struct {
	ID         [16]byte
	TenantID   [16]byte
	ActorKind  string
	ActorID    string
	ActorName  string
	Address    string
	Action     string
	TargetKind string
	TargetID   string
	TargetName string
	Changes    []byte
}

const auditColumns = `a.id, a.tenant_id, a.actor_kind, a.actor_id, a.actor_name, a.address, a.action, a.target_kind, a.target_id, a.target_name,
	a.changes::text::bytea as changes`

func (r *auditRow) entry() (hook.AuditEntry, error) {
	e := hook.AuditEntry{
		ID: r.ID, TenantID: r.TenantID, Action: hook.AuditAction(r.Action),
		Actor:  hook.Actor{Kind: hook.ActorKind(r.ActorKind), ID: r.ActorID, Name: r.ActorName, Address: r.Address},
		Target: hook.AuditTarget{Kind: hook.AuditTargetKind(r.TargetKind), ID: r.TargetID, Name: r.TargetName},
	}
	if err := json.Unmarshal(r.Changes, &e.Changes); err != nil {
		return e, fmt.Errorf("changes of %s: %w", e.ID, err)
	}
	return e, nil
}

// AuditLog lists entries of the audit log, newest first: of one tenant, or of all. A page of a filtered list may be short,
// even empty, without being the last: next is where the next page begins, nil at the end.
func (s *Store) AuditLog(ctx context.Context, f hook.AuditFilter, p hook.Page) (list []hook.AuditEntry, next *[16]byte, err error) {
	l := listing{table: "audit_log", alias: "a", columns: auditColumns, args: pgx.StrictNamedArgs{}}
	l.ofType("a.action", f.Action)
	l.ofTenants(f.Of)
	for _, c := range []struct{ column, arg, value string }{{"a.target_id", "target", f.Target}, {"a.actor_id", "actor", f.Actor}} {
		switch condition := c.column + ` = @` + c.arg; {
		case c.value == "":
		case !f.Of.All && len(l.within) == 1: // there is an index with the tenant for one of them
			l.within, l.args[c.arg] = append(l.within, condition), c.value
		default:
			l.filter = append(l.filter, condition)
			l.choose(pgx.StrictNamedArgs{c.arg: c.value})
		}
	}
	list, next, err = readPage(ctx, s, &l, p, collectAudit, func(e *hook.AuditEntry) [16]byte { return e.ID })
	if err != nil {
		return nil, nil, fmt.Errorf("list audit log: %w", err)
	}
	return list, next, nil
}

func collectAudit(rows pgx.Rows) ([]hook.AuditEntry, error) {
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[auditRow])
	if err != nil {
		return nil, err
	}
	list := make([]hook.AuditEntry, 0, len(found))
	for i := range found {
		e, err := found[i].entry()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// purgePage is how many rows a statement of a purge deletes at most.
const purgePage = 5000

// PurgeAuditLog deletes the entries that are older than age, page by page from the oldest, and returns how many.
func (s *Store) PurgeAuditLog(ctx context.Context, age time.Duration) (deleted int64, err error) {
	return s.purge(ctx, "audit log", age, `
		delete from audit_log where id = any(array(
			select id from audit_log where id < uuid_floor(now() - $1::interval) order by id limit $2 for update skip locked))`)
}

// purge deletes the rows of a table that are older than age, page by page. sql deletes one page: $1 is the age, $2 its size.
func (s *Store) purge(ctx context.Context, table string, age time.Duration, sql string) (deleted int64, err error) {
	for {
		tag, err := s.pool.Exec(ctx, sql, age, purgePage)
		if err != nil {
			return deleted, mapErr(fmt.Errorf("purge %s: %w", table, err))
		}
		deleted += tag.RowsAffected()
		if tag.RowsAffected() < purgePage {
			return deleted, nil
		}
	}
}

// BeginRetry logs that a client has a delivery sent by hand, before the request is made: another process makes it, and an
// entry too many is better than a request that nobody has ordered. DropRetry takes the entry back if nothing was sent.
func (s *Store) BeginRetry(ctx context.Context, d hook.Delivery) (hook.AuditID, error) {
	e := hook.AuditEntry{
		ID: newID[hook.AuditID](), TenantID: d.TenantID, Action: hook.AuditDeliveryRetried,
		Target: hook.AuditTarget{Kind: hook.TargetDelivery, ID: d.ID.String(), Name: d.EventType},
		Changes: hook.AuditChanges(nil, []hook.AuditMember{
			{Name: "webhook_id", Value: d.WebhookID.String()}, {Name: "event_id", Value: d.EventID.String()},
		}),
	}
	if err := audit(ctx, s.pool, e); err != nil {
		return e.ID, mapErr(err)
	}
	return e.ID, nil
}

// DropRetry removes the entry of a retry of which it is certain that no request was made.
func (s *Store) DropRetry(ctx context.Context, id hook.AuditID) error {
	_, err := s.pool.Exec(ctx, `delete from audit_log where id = $1 and action = $2`, [16]byte(id), string(hook.AuditDeliveryRetried))
	if err != nil {
		return mapErr(fmt.Errorf("drop %s: %w", id, err))
	}
	return nil
}
