package storage

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
)

// Operational events are published in the transaction of the change that they report, so that neither exists without
// the other. If no webhook of the tenant names the event's type, there is no event: an outage must not fill the store
// with events that nobody subscribes to.

// operationalEvents are the operational events of one transaction.
type operationalEvents struct{ list []*publishing }

func (o *operationalEvents) add(tenant hook.TenantID, eventType string, data []byte) {
	p := newPublishing(&hook.Publication{TenantID: tenant, Type: eventType, Data: data})
	p.own = true
	o.list = append(o.list, p)
}

// failed adds an event for each of the deliveries that has ended without success. A failed delivery of an operational
// event adds none: that event would go to the same webhooks.
func (o *operationalEvents) failed(ended []hook.Delivery) {
	for i := range ended {
		d := &ended[i]
		if d.Test || hook.IsOperational(d.EventType) {
			continue
		}
		switch d.State {
		case hook.StateFailed, hook.StateTimedOut, hook.StateDropped:
			o.add(d.TenantID, hook.TypeDeliveryFailed, failedData(d))
			o.list[len(o.list)-1].cause = d.EventID
		case hook.StatePending, hook.StateSending, hook.StateSuccess, hook.StateCanceled:
		}
	}
}

func (o *operationalEvents) disabled(w *hook.Webhook) {
	b := appendMember([]byte{'{'}, "webhook_id", w.ID.String())
	b = appendMember(b, "host", w.Host())
	b = appendMember(b, "reason", w.DisabledReason)
	b = appendMember(b, "disabled_at", inSeconds(time.Now()))
	o.add(w.TenantID, hook.TypeWebhookDisabled, append(b, '}'))
}

func (o *operationalEvents) recovered(w *hook.Webhook, failingSince *time.Time) {
	b := appendMember([]byte{'{'}, "webhook_id", w.ID.String())
	b = appendMember(b, "host", w.Host())
	if failingSince != nil {
		b = appendMember(b, "failing_since", inSeconds(*failingSince))
	}
	b = appendMember(b, "recovered_at", inSeconds(time.Now()))
	o.add(w.TenantID, hook.TypeWebhookRecovered, append(b, '}'))
}

// failedData returns canonical JSON (spec 2), like all published data.
func failedData(d *hook.Delivery) []byte {
	b := appendMember([]byte{'{'}, "delivery_id", d.ID.String())
	b = appendMember(b, "event_id", d.EventID.String())
	b = appendMember(b, "event_type", d.EventType)
	b = appendMember(b, "webhook_id", d.WebhookID.String())
	b = appendMember(b, "status", string(d.State))
	b = strconv.AppendInt(append(b, `,"attempts":`...), int64(d.Attempts), 10)
	if d.StatusCode != 0 {
		b = strconv.AppendInt(append(b, `,"status_code":`...), int64(d.StatusCode), 10)
	}
	b = appendMember(b, "error", d.Error)
	b = appendMember(b, "created_at", inSeconds(d.CreatedAt))
	b = appendMember(b, "failed_at", inSeconds(d.UpdatedAt))
	return append(b, '}')
}

// appendMember appends a member to an object; the name needs no escaping.
func appendMember(b []byte, name, value string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(append(b, '"'), name...), `":`...)
	return canonjson.AppendString(b, value)
}

func inSeconds(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// withOperationalEvents runs f in a transaction and publishes, in the same transaction, the operational events
// that f adds. It returns the starts of those that need a workflow. The caller dispatches them; if it dies before,
// the sweeper starts them.
func (s *Store) withOperationalEvents(ctx context.Context, f func(tx pgx.Tx, events *operationalEvents) error) ([]hook.Start, error) {
	var published []*publishing
	err := s.transact(ctx, func(tx pgx.Tx) (err error) {
		var events operationalEvents
		if err := f(tx, &events); err != nil {
			return err
		}
		published, err = subscribedOnly(ctx, tx, events.list)
		if err != nil || len(published) == 0 {
			return err
		}
		if err := setCauses(ctx, tx, published); err != nil {
			return err
		}
		for _, p := range published {
			p.fresh()
		}
		if err := s.insertEvents(ctx, tx, published); err != nil {
			return fmt.Errorf("publish operational events: %w", err)
		}
		return nil
	})
	if err != nil || len(published) == 0 {
		return nil, err
	}
	var starts []hook.Start
	count := measure.Published{Operational: len(published)}
	for _, p := range published {
		count.Deliveries += p.accepted.Event.Deliveries
		if start, ok := p.accepted.Start(); ok {
			starts = append(starts, start)
		}
	}
	s.metrics.Published(count)
	return starts, nil
}

// setCauses gives each operational event that reports another event the chain of that one (hook.HopsHeader), so that
// a receiver that answers a failure with an event that fails comes to an end.
func setCauses(ctx context.Context, tx pgx.Tx, list []*publishing) error {
	var causes [][16]byte
	for _, p := range list {
		if p.cause != (hook.EventID{}) {
			causes = append(causes, p.cause)
		}
	}
	if len(causes) == 0 {
		return nil
	}
	rows, _ := tx.Query(ctx, `
		select e.id, e.hops from unnest($1::uuid[]) as k(id) cross join lateral (select * from events e where e.id = k.id offset 0) e`, causes)
	chains := make(map[hook.EventID][]byte, len(causes))
	var id hook.EventID
	var hops []byte
	if _, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &hops}, func() error {
		chains[id], hops = hops, nil
		return nil
	}); err != nil {
		return fmt.Errorf("read causes of operational events: %w", err)
	}
	for _, p := range list {
		if p.cause != (hook.EventID{}) {
			p.Hops = append(hook.HopsOf(chains[p.cause]), p.cause)
		}
	}
	return nil
}

// subscribedOnly returns the events whose type is named by an active webhook of their tenant.
func subscribedOnly(ctx context.Context, tx pgx.Tx, list []*publishing) ([]*publishing, error) {
	if len(list) == 0 {
		return nil, nil
	}
	type topic struct {
		tenant hook.TenantID
		name   string
	}
	asked := map[topic]bool{}
	var tenants [][16]byte
	var names []string
	for _, p := range list {
		if t := (topic{p.TenantID, p.Type}); !asked[t] {
			asked[t] = true
			tenants, names = append(tenants, t.tenant), append(names, t.name)
		}
	}
	rows, _ := tx.Query(ctx, `
		select k.tenant_id, k.name from unnest($1::uuid[], $2::text[]) as k(tenant_id, name)
		where exists (
			select from subscriptions s join webhooks w on w.id = s.webhook_id
			where s.tenant_id = k.tenant_id and s.cache = '' and s.pattern = k.name and w.active)`, tenants, names)
	found := map[topic]bool{}
	var t topic
	if _, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&t.tenant), &t.name}, func() error {
		found[t] = true
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look up subscribers of operational events: %w", err)
	}
	return slices.DeleteFunc(list, func(p *publishing) bool { return !found[topic{p.TenantID, p.Type}] }), nil
}
