package storage

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
)

// Record writes attempts into the log and updates their deliveries and webhooks, each attempt in a transaction that
// it may share with others. If the row of a webhook or delivery stays locked, the other attempts are recorded all the
// same; the error says that not all are, and the starts of the recorded ones are beside it. It takes at most one
// record per delivery. It decides on the rows as they are now:
//
//   - a success ends the delivery; a delivery that has succeeded stays a success, whatever a later attempt by hand
//     returns;
//   - an attempt by hand leaves the schedule as it is, and so does a scheduled attempt that was made twice, the second
//     time that it is recorded;
//   - a delivery that was canceled or revoked during the attempt is canceled, unless the attempt succeeded;
//   - an attempt that is recorded already is not recorded again, so it is safe to try again if the answer was lost;
//   - an answer, with whatever status, closes the breaker through which its request went, and wakes the webhook's
//     drain.
//
// It returns the deliveries as they now stand, in no particular order.
func (s *Store) Record(ctx context.Context, records []hook.Record) (hook.Recorded, error) {
	if len(records) == 0 {
		return hook.Recorded{}, nil
	}
	items := recordingsOf(records)
	var all hook.Recorded
	var failed error
	for i, err := range s.recordings.addAll(ctx, items) {
		switch {
		case err == nil:
			all.Deliveries = append(all.Deliveries, items[i].found...)
			all.Starts = append(all.Starts, items[i].starts...)
		case failed == nil || hook.KindOf(mapErr(failed)) != hook.KindUnavailable:
			failed = err // of several errors, one that is worth a retry
		}
	}
	if failed != nil {
		return hook.Recorded{Starts: all.Starts}, mapErr(fmt.Errorf("record %d attempts: %w", len(records), failed))
	}
	return all, nil
}

// recordingsOf wraps each record on its own: they share statements with each other and with others, and none waits
// for a row that only another one needs.
func recordingsOf(records []hook.Record) []*recording {
	items := make([]*recording, 0, len(records))
	for i := range records {
		items = append(items, &recording{records: records[i : i+1 : i+1]})
	}
	return items
}

// recording is one record on its way into the store.
type recording struct {
	records []hook.Record
	// found are the deliveries as they stand after recording.
	found []hook.Delivery
	// starts are the operational events of those transactions in which this recording was the first one.
	starts []hook.Start
}

func (r *recording) rows() int { return len(r.records) }

// bytes is roughly the recording's size in memory.
func (r *recording) bytes() int {
	n := 0
	for i := range r.records {
		n += len(r.records[i].Attempt.ResponseBody)
	}
	return n
}

// recordAll does recordings in one transaction. If several are about the same delivery, such as a retry by hand
// beside the schedule, the later ones go into another transaction.
func (s *Store) recordAll(ctx context.Context, list []*recording) error {
	owner := make(map[hook.DeliveryID]*recording, len(list))
	var records []hook.Record
	var later []*recording
	for _, r := range list {
		r.found = nil // result of an earlier try
		if slices.ContainsFunc(r.records, func(record hook.Record) bool { return owner[record.Delivery.ID] != nil }) {
			later = append(later, r)
			continue
		}
		for i := range r.records {
			owner[r.records[i].Delivery.ID] = r
		}
		records = append(records, r.records...)
	}
	found, starts, err := s.record(ctx, records)
	if err != nil {
		return err
	}
	// starts is not reset between tries: this transaction is committed even if a later one of the same call fails.
	list[0].starts = append(list[0].starts, starts...)
	for i := range found {
		r := owner[found[i].ID]
		r.found = append(r.found, found[i])
	}
	if len(later) > 0 {
		return s.recordAll(ctx, later)
	}
	return nil
}

func (s *Store) record(ctx context.Context, records []hook.Record) (found []hook.Delivery, starts []hook.Start, err error) {
	// Sorted by id, like all locks: see healthChange.lock.
	slices.SortFunc(records, func(a, b hook.Record) int { return bytes.Compare(a.Delivery.ID[:], b.Delivery.ID[:]) })
	args := recordArgs(records)
	health, proofs := healthOf(records), proofsOf(records)
	if len(health.ids)+len(proofs.ids) == 0 {
		err = s.single(ctx, func(q querier) (err error) {
			found, _, err = writeRecords(ctx, q, args)
			return err
		})
		if err == nil {
			s.countEnded(endedOf(records, found))
		}
		return found, nil, err
	}
	var ended []hook.Delivery
	var closed []hook.WebhookID
	canceled := 0
	starts, err = s.withOperationalEvents(ctx, func(tx pgx.Tx, events *operationalEvents) error {
		var webhooks []hook.WebhookID
		var err error
		if webhooks, closed, err = health.lock(ctx, tx, proofs); err != nil {
			return fmt.Errorf("lock webhooks: %w", err)
		}
		if err := closeBreakers(ctx, tx, closed); err != nil {
			return err
		}
		var fresh []hook.Delivery
		if found, fresh, err = writeRecords(ctx, tx, args); err != nil {
			return err
		}
		ended = endedOf(records, fresh)
		events.failed(ended)
		counted := healthOf(written(records, fresh))
		if len(webhooks) == 0 || len(counted.ids) == 0 {
			return nil
		}
		disabled, err := s.applyHealth(ctx, tx, counted, webhooks, events)
		if err != nil || len(disabled) == 0 {
			return err
		}
		// The recorded deliveries may be among those just revoked.
		ids := args["id"].([][16]byte)
		if canceled, err = cancelOwn(ctx, tx, ids, disabled); err != nil {
			return err
		}
		found, err = byID(ctx, tx, ids)
		return err
	})
	if err == nil {
		s.countEnded(ended)
		s.metrics.Ended(hook.StateCanceled, canceled)
		for range closed {
			s.metrics.Breaker(false)
		}
	}
	return found, starts, err
}

// cancelOwn cancels those of the recorded deliveries whose webhooks the recording has disabled. They are locked
// already, and looked up by primary key: for a look-up by webhook the planner would go through everything
// outstanding.
func cancelOwn(ctx context.Context, tx pgx.Tx, ids [][16]byte, disabled []hook.WebhookID) (int, error) {
	tag, err := tx.Exec(ctx, `
		update deliveries set state = 'canceled', error = $5, next_attempt_at = null, updated_at = clock_timestamp()
		where id between $2 and $3 and id = any(array(
			select d.id from unnest($1::uuid[]) as k(id) cross join lateral (select * from deliveries d where d.id = k.id offset 0) d
			where d.webhook_id = any($4) and d.next_attempt_at is not null and not d.test))`,
		ids, ids[0], ids[len(ids)-1], raw(disabled), hook.TextWebhookDisabled)
	if err != nil {
		return 0, fmt.Errorf("cancel deliveries of disabled webhooks: %w", err)
	}
	return int(tag.RowsAffected()), nil
}

// writeRecords returns the deliveries as they now stand, and those that it has changed.
func writeRecords(ctx context.Context, q querier, args pgx.StrictNamedArgs) (found, fresh []hook.Delivery, err error) {
	rows, _ := q.Query(ctx, recordSQL, argsOfConstant(args))
	if fresh, err = collectDeliveries(rows); err != nil {
		return nil, nil, fmt.Errorf("write attempts: %w", err)
	}
	if ids := args["id"].([][16]byte); len(fresh) < len(ids) {
		// The others were recorded by an earlier try whose answer was lost.
		found, err = byID(ctx, q, ids)
		return found, fresh, err
	}
	return fresh, fresh, nil
}

// written returns the records of the deliveries that were changed. The others were recorded before, and have counted
// for their webhooks' health already.
func written(records []hook.Record, fresh []hook.Delivery) []hook.Record {
	if len(fresh) == len(records) {
		return records
	}
	changed := make(map[hook.DeliveryID]bool, len(fresh))
	for i := range fresh {
		changed[fresh[i].ID] = true
	}
	return slices.DeleteFunc(slices.Clone(records), func(r hook.Record) bool { return !changed[r.Delivery.ID] })
}

func byID(ctx context.Context, q querier, ids [][16]byte) ([]hook.Delivery, error) {
	rows, _ := q.Query(ctx, `select `+shownColumns+` from deliveries d `+shown+` where d.id = any($1)`, ids)
	return collectShown(rows)
}

// recordSQL writes attempts and updates their deliveries. docs/architecture.md explains it ("How an attempt is
// recorded").
//
// An attempt that is recorded already is first looked for in the log, and then compared with the last attempt in the
// row being updated: if the statement had to wait for that row's lock, the log is as it was before the wait, and the
// row as it is now.
//
// The webhook is looked up for failures only: a success counts whatever has become of the webhook.
//
// The offsets keep the planner from looking up attempts and webhooks by any other way than the primary key. Naming
// the deliveries' ids again makes it look up deliveries by primary key, and the smallest id excludes earlier days.
// Both values come from sub-queries, which hides them: knowing them, the planner would expect one row and compare all
// with all.
const recordSQL = `
	with r as (
		select r.*, w.id is null as gone, w.active, w.generation from unnest(@id::uuid[], @attempt_id::uuid[], @webhook::uuid[],
			@manual::bool[], @nth::int[], @was_canceled::bool[], @succeeded::bool[], @state::text[], @next_in::interval[],
			@status::int[], @error::text[], @error_class::text[], @url::text[], @started_at::timestamptz[], @duration::bigint[],
			@dns::bigint[], @connect::bigint[], @tls::bigint[], @first_byte::bigint[], @remote_addr::text[],
			@request_headers::text[], @response_headers::text[], @response_body::bytea[], @response_truncated::bool[], @response_length::bigint[],
			@outstanding::bool[], @bucket::smallint[])
			as r(id, attempt_id, webhook_id, manual, nth, was_canceled, succeeded, state, next_in, status, error, error_class, url, started_at, duration,
				dns, connect, tls, first_byte, remote_addr, request_headers, response_headers, response_body, response_truncated, response_length,
				outstanding, bucket)
		left join lateral (select w.id, w.active, w.generation from webhooks w where w.id = r.webhook_id and not r.succeeded offset 0) w on true
		where not exists (select from attempts a where a.delivery_id = r.id and a.id = r.attempt_id offset 0)
	), d as (
		update deliveries d set
			attempts = d.attempts + 1,
			scheduled = case when r.manual then d.scheduled else greatest(d.scheduled, least(r.nth, @max_attempts::int)) end,
			status_code = coalesce(r.status, d.status_code),
			last_attempt = r.attempt_id,
			state = case
				when r.succeeded or d.state = 'success' then 'success'
				when d.state = 'canceled' and not r.was_canceled or ` + revokedNow + ` then 'canceled'
				when ` + madeTwice + ` then d.state
				else r.state end,
			error = case
				when r.succeeded or d.state = 'success' then null
				when d.state = 'canceled' and not r.was_canceled then d.error
				when ` + revokedNow + ` then case when r.gone then '` + hook.TextWebhookDeleted + `' else '` + hook.TextWebhookDisabled + `' end
				when ` + madeTwice + ` then d.error
				else r.error end,
			next_attempt_at = case
				when r.succeeded or d.state = 'success' or ` + revokedNow + ` then null
				when r.manual or d.next_attempt_at is null or ` + madeTwice + ` then d.next_attempt_at
				else clock_timestamp() + r.next_in end,
			delivered_at = coalesce(d.delivered_at, case when r.succeeded then clock_timestamp() end),
			updated_at = clock_timestamp()
		from r
		where d.id = r.id and d.last_attempt is distinct from r.attempt_id
			and d.id = any((select @id::uuid[])::uuid[]) and d.id >= (select @first::uuid)
		returning ` + deliveryColumns + `
	), logged as (
		insert into attempts (id, delivery_id, number, manual, url, started_at, duration_us, dns_us, connect_us, tls_us, first_byte_us,
			remote_addr, request_headers, status_code, response_headers, response_body, response_truncated, response_length, error_class, error)
		select r.attempt_id, d.id, d.attempts, r.manual, r.url, r.started_at, r.duration, r.dns, r.connect, r.tls, r.first_byte,
			r.remote_addr, r.request_headers::json, r.status, r.response_headers::json, r.response_body, r.response_truncated,
			r.response_length, r.error_class, r.error
		from d join r on r.id = d.id
	), used as (` + usedByAttempts + `
	)
	select * from d`

// revokedNow is the SQL condition that d's webhook has ended since d was accepted.
const revokedNow = `d.next_attempt_at is not null and not d.test and (r.gone or not r.active or d.generation < r.generation)`

// madeTwice is the SQL condition that another run of the same scheduled attempt is recorded already. Two workers make an
// attempt if one stands still in the middle of it and Temporal gives it to the other. The log then has both requests, but
// the schedule counts one, so that the receiver still gets all of its attempts.
const madeTwice = `not r.manual and r.nth <= d.scheduled`

// recordArgs turns records into one array per column.
func recordArgs(records []hook.Record) pgx.StrictNamedArgs {
	var (
		ids, attemptIDs, webhooks                        [][16]byte
		manual, wasCanceled, succeeded                   []bool
		states, errs, classes, urls, remotes, reqHeaders []string
		nextIn                                           []*time.Duration
		statuses                                         []*int
		nth                                              []int
		started                                          []time.Time
		duration, dns, connect, tls, firstByte           []int64
		resHeaders                                       []*string
		bodies                                           [][]byte
		truncated                                        []bool
		lengths                                          []*int64
		outstanding                                      []bool
		buckets                                          []int16
	)
	for i := range records {
		r := &records[i]
		a := &r.Attempt
		ids, attemptIDs = append(ids, r.Delivery.ID), append(attemptIDs, a.ID)
		webhooks, manual = append(webhooks, r.Delivery.WebhookID), append(manual, a.Manual)
		nth = append(nth, r.Delivery.Scheduled+1)
		wasCanceled = append(wasCanceled, r.Delivery.State == hook.StateCanceled)
		succeeded = append(succeeded, a.Succeeded())
		states = append(states, string(r.Verdict.State))
		errs, classes = append(errs, storableText(a.Error)), append(classes, string(a.Class))
		urls, remotes = append(urls, a.URL), append(remotes, storableText(a.RemoteAddr))
		reqHeaders = append(reqHeaders, headersJSON(a.RequestHeaders))
		started = append(started, a.StartedAt)
		duration = append(duration, a.Duration.Microseconds())
		dns, connect = append(dns, a.Timings.DNS.Microseconds()), append(connect, a.Timings.Connect.Microseconds())
		tls, firstByte = append(tls, a.Timings.TLS.Microseconds()), append(firstByte, a.Timings.FirstByte.Microseconds())
		next, status, response := (*time.Duration)(nil), (*int)(nil), (*string)(nil)
		if r.Verdict.Retry {
			// The delay runs from the attempt's end, which is already past.
			in := max(r.Verdict.RetryIn-time.Since(a.StartedAt.Add(a.Duration)), 0)
			next = &in
		}
		if a.StatusCode != 0 {
			status = &a.StatusCode
			text := headersJSON(a.ResponseHeaders)
			response = &text
		}
		nextIn, statuses, resHeaders = append(nextIn, next), append(statuses, status), append(resHeaders, response)
		bodies, truncated, lengths = append(bodies, a.ResponseBody), append(truncated, a.ResponseTruncated), append(lengths, a.ResponseLength)
		outstanding, buckets = append(outstanding, r.Delivery.Outstanding()), append(buckets, int16(hook.LatencyBucket(a.Duration))) //nolint:gosec // below 24
	}
	return pgx.StrictNamedArgs{
		"id": ids, "attempt_id": attemptIDs, "webhook": webhooks, "first": ids[0], "max_attempts": hook.MaxAttempts,
		"manual": manual, "nth": nth, "was_canceled": wasCanceled, "succeeded": succeeded, "state": states, "next_in": nextIn, "status": statuses,
		"error": errs, "error_class": classes, "url": urls, "started_at": started, "duration": duration,
		"dns": dns, "connect": connect, "tls": tls, "first_byte": firstByte, "remote_addr": remotes,
		"request_headers": reqHeaders, "response_headers": resHeaders, "response_body": bodies,
		"response_truncated": truncated, "response_length": lengths, "outstanding": outstanding, "bucket": buckets,
	}
}

// headersJSON writes headers as a JSON object of lists. Bytes that PostgreSQL's text can't hold, which a receiver may
// send, become U+FFFD.
func headersJSON(h http.Header) string {
	names := slices.AppendSeq(make([]string, 0, len(h)), maps.Keys(h))
	slices.Sort(names)
	b := append(make([]byte, 0, 512), '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(canonjson.AppendString(b, storableText(name)), ":["...)
		for j, value := range h[name] {
			if j > 0 {
				b = append(b, ',')
			}
			b = canonjson.AppendString(b, storableText(value))
		}
		b = append(b, ']')
	}
	return string(append(b, '}'))
}
