package storage

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// One request makes at most Limits.Deliveries deliveries, all or none. The statement that stores an event refuses
// more for that event; the sum over the events of a batch is counted before. Webhooks that subscribe between the
// count and the statements come on top.

// tooManyDeliveries is the SQLSTATE of refuse_deliveries (migration 00026); the error's detail is the limit.
const tooManyDeliveries = "GR001"

func tooMany(most string) error {
	return hook.LimitExceeded("the request would make more than %s deliveries, the most that one may make (--max-deliveries); nothing was published", most)
}

// maxDeliveries returns the limit of each event of a shared statement.
func maxDeliveries(list []*publishing) int {
	if len(list) == 0 || list[0].most == 0 {
		return math.MaxInt32
	}
	return list[0].most
}

// noteRefused makes an event that its statement refused go into a statement of its own the next time, and so the
// tenant's unknown topics: otherwise they would fail a shared statement.
func (s *Store) noteRefused(p *publishing, err error) {
	if hook.KindOf(err) != hook.KindLimit || p.accepted.Event.ID == (hook.EventID{}) {
		return
	}
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.fanOuts.put(p.topic(), max(p.most, maxStatementDeliveries)+1)
	s.cache.excessive.put(p.TenantID, struct{}{})
}

// refuseOversized returns an error for each event if the events would have too many deliveries together; else nil.
// Repeats, whose keys are taken, have no deliveries.
func (s *Store) refuseOversized(ctx context.Context, list []*publishing) []error {
	most := s.limits.Deliveries
	if most == 0 || len(list) < 2 {
		return nil
	}
	over, err := s.exceed(ctx, list, most)
	if err == nil && over {
		var fresh []*publishing
		if fresh, err = s.withoutRepeats(ctx, list); err == nil && len(fresh) < len(list) {
			over, err = s.exceed(ctx, fresh, most)
		}
	}
	switch {
	case err != nil:
		return slices.Repeat([]error{mapErr(fmt.Errorf("count deliveries: %w", err))}, len(list))
	case over:
		return slices.Repeat([]error{tooMany(strconv.Itoa(most))}, len(list))
	}
	return nil
}

// exceed reports whether the events would have more than most deliveries if they were stored now. Usually counting
// the webhooks of each pattern is enough to know, and many types share patterns.
func (s *Store) exceed(ctx context.Context, list []*publishing, most int) (bool, error) {
	found, err := s.subscribed(ctx, list, most)
	if err != nil {
		return false, err
	}
	least, greatest := 0, 0
	for _, p := range list {
		l, g := found.bounds(p)
		least, greatest = least+l, greatest+g
	}
	if least > most || greatest <= most {
		return least > most, nil
	}
	fanOuts, err := s.fanOuts(ctx, list, most)
	total := 0
	for _, p := range list {
		total += fanOuts[p.topic()]
	}
	return total > most, err
}

// subscribers counts the active webhooks of a pattern: standard webhooks, and others, for which it is a plain name.
type subscribers struct{ standard, others int }

// bySubscription has the subscribers of each pattern; the pattern is the topic's name.
type bySubscription map[topicName]subscribers

// bounds returns how many deliveries the event would have at least and at most: a webhook may have several of the
// event's patterns.
func (b bySubscription) bounds(p *publishing) (least, greatest int) {
	for _, pattern := range candidates(p) {
		found := b[topicName{p.TenantID, p.Cache, pattern}]
		n := found.standard
		if pattern == p.Type {
			n += found.others
		}
		least, greatest = max(least, n), greatest+n
	}
	return least, greatest
}

// candidates returns the patterns that match an event, each once.
func candidates(p *publishing) []string {
	list := hook.Candidates(p.Type)
	slices.Sort(list)
	return slices.Compact(list)
}

// subscribed counts the webhooks of each pattern that matches the events, up to most+1.
func (s *Store) subscribed(ctx context.Context, list []*publishing, most int) (bySubscription, error) {
	found := bySubscription{}
	var (
		asked            []topicName
		tenants          [][16]byte
		caches, patterns []string
	)
	for _, p := range list {
		for _, c := range candidates(p) {
			pattern := topicName{p.TenantID, p.Cache, c}
			if _, ok := found[pattern]; !ok {
				found[pattern] = subscribers{}
				asked, tenants, caches, patterns = append(asked, pattern), append(tenants, p.TenantID), append(caches, p.Cache), append(patterns, c)
			}
		}
	}
	var n int
	var one subscribers
	err := s.byIndex(ctx, `
		select c.n, count(*) filter (where w.profile = 'standard')::int, count(*) filter (where w.profile <> 'standard')::int
		from unnest(@tenants::uuid[], @caches::text[], @patterns::text[]) with ordinality as c(tenant_id, cache, pattern, n)
		cross join lateral (
			select s.webhook_id from subscriptions s
			where s.tenant_id = c.tenant_id and s.cache = c.cache and s.pattern = c.pattern limit @most::int + 1
		) s
		cross join lateral (select w.profile from webhooks w where w.id = s.webhook_id and w.active offset 0) w
		group by c.n`, pgx.StrictNamedArgs{"tenants": tenants, "caches": caches, "patterns": patterns, "most": most},
		[]any{&n, &one.standard, &one.others}, func() { found[asked[n-1]] = one })
	return found, err
}

// byIndex reads rows, each into targets before one is called. It turns sequential scans off: if most subscriptions
// have one pattern, the planner would read all of them for each pattern.
func (s *Store) byIndex(ctx context.Context, sql string, args pgx.StrictNamedArgs, targets []any, one func()) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(`select set_config('enable_seqscan', 'off', true)`)
		batch.Queue(sql, args).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, targets, func() error {
				one()
				return nil
			})
			return err
		})
		return tx.SendBatch(ctx, batch).Close()
	})
}

// topic returns the name by which the event is matched.
func (p *publishing) topic() topicName { return topicName{p.TenantID, p.Cache, p.Type} }

// fanOuts counts how many deliveries an event of each of the topics has now; it stops at most for all together. It
// matches as insertEventsSQL does.
func (s *Store) fanOuts(ctx context.Context, list []*publishing, most int) (map[topicName]int, error) {
	var (
		topics                  []topicName
		tenants                 [][16]byte
		caches, types, patterns []string
		of                      []int
		each                    int // a webhook is found by so many patterns of a topic at most
		fanOuts                 = map[topicName]int{}
	)
	for _, p := range list {
		if _, ok := fanOuts[p.topic()]; ok {
			continue
		}
		fanOuts[p.topic()] = 0
		topics = append(topics, p.topic())
		list := candidates(p)
		each = max(each, len(list))
		for _, c := range list {
			of, patterns = append(of, len(topics)), append(patterns, c)
			tenants, caches, types = append(tenants, p.TenantID), append(caches, p.Cache), append(types, p.Type)
		}
	}
	var n, made int
	err := s.byIndex(ctx, `
		select n, count(*)::int from (
			select distinct n, id from (
				select c.n, w.id
				from unnest(@of::int[], @patterns::text[], @tenants::uuid[], @caches::text[], @types::text[]) as c(n, pattern, tenant_id, cache, type)
				cross join lateral (
					select s.webhook_id from subscriptions s
					where s.tenant_id = c.tenant_id and s.cache = c.cache and s.pattern = c.pattern offset 0
				) s
				cross join lateral (select w.id, w.profile from webhooks w where w.id = s.webhook_id and w.active offset 0) w
				where w.profile = 'standard' or c.pattern = c.type
				limit @found::bigint) f
		) d group by n`, pgx.StrictNamedArgs{
		"tenants": tenants, "caches": caches, "types": types, "of": of, "patterns": patterns, "found": int64(most+1) * int64(each),
	}, []any{&n, &made}, func() { fanOuts[topics[n-1]] = made })
	return fanOuts, err
}

// withoutRepeats returns the events whose keys are not taken.
func (s *Store) withoutRepeats(ctx context.Context, list []*publishing) (fresh []*publishing, err error) {
	var tenants [][16]byte
	var keys []string
	for _, p := range list {
		tenants, keys = append(tenants, p.TenantID), append(keys, p.IdempotencyKey)
	}
	rows, _ := s.pool.Query(ctx, `
		select e.n from unnest($1::uuid[], $2::text[]) with ordinality as e(tenant_id, key, n)
		where e.key = '' or not exists (
			select from idempotency_keys k where k.tenant_id = e.tenant_id and k.key = e.key and k.expires_at > now() offset 0)`, tenants, keys)
	var n int
	_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
		fresh = append(fresh, list[n-1])
		return nil
	})
	return fresh, err
}
