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

// One request makes so many deliveries at most (Limits.Deliveries), all or none. The
// statement that stores an event refuses more for that one; what the events of a batch
// have together is counted before. Webhooks that subscribe between the count and the
// statements come on top.

// tooManyDeliveries is refuse_deliveries' SQLSTATE (migration 00026); its detail is the limit.
const tooManyDeliveries = "GR001"

func tooMany(most string) error {
	return hook.LimitExceeded("the request would make more than %s deliveries, the most that one may make (--max-deliveries); nothing was published", most)
}

// mostDeliveries is what each of events that share a statement may have.
func mostDeliveries(list []*publishing) int {
	if len(list) == 0 || list[0].most == 0 {
		return math.MaxInt32
	}
	return list[0].most
}

// noteRefused has an event whose statement refused it not share one the next time, nor those
// of the tenant's topics that are not known: they would have it fail.
func (s *Store) noteRefused(p *publishing, err error) {
	if hook.KindOf(err) != hook.KindLimit || p.accepted.Event.ID == (hook.EventID{}) {
		return
	}
	s.recalled.mu.Lock()
	defer s.recalled.mu.Unlock()
	s.recalled.fanOuts.keep(p.topic(), max(p.most, deliveriesTogether)+1)
	s.recalled.excessive.keep(p.TenantID, struct{}{})
}

// refuseTogether refuses all of several events that would have too many deliveries together;
// nil where they have not. Repeats, whose keys are taken, have none.
func (s *Store) refuseTogether(ctx context.Context, list []*publishing) []error {
	most := s.limits.Deliveries
	if most == 0 || len(list) < 2 {
		return nil
	}
	fanOuts, err := s.fanOuts(ctx, list, most)
	total := 0
	for _, p := range list {
		total += fanOuts[p.topic()]
	}
	if err == nil && total > most {
		var repeated []*publishing
		repeated, err = s.repeated(ctx, list)
		for _, p := range repeated {
			total -= fanOuts[p.topic()]
		}
	}
	switch {
	case err != nil:
		return slices.Repeat([]error{mapErr(fmt.Errorf("count deliveries: %w", err))}, len(list))
	case total > most:
		return slices.Repeat([]error{tooMany(strconv.Itoa(most))}, len(list))
	}
	return nil
}

// topic is what it is matched by.
func (p *publishing) topic() topicName { return topicName{p.TenantID, p.Cache, p.Type} }

// fanOuts counts how many deliveries an event of each of the list's topics has at this
// moment, up to one more than most. It matches as insertEventsSQL does.
func (s *Store) fanOuts(ctx context.Context, list []*publishing, most int) (map[topicName]int, error) {
	var (
		topics        []topicName
		tenants       [][16]byte
		caches, types []string
		of            []int
		patterns      []string
		fanOuts       = map[topicName]int{}
	)
	for _, p := range list {
		if _, ok := fanOuts[p.topic()]; ok {
			continue
		}
		fanOuts[p.topic()] = 0
		topics, tenants, caches, types = append(topics, p.topic()), append(tenants, p.TenantID), append(caches, p.Cache), append(types, p.Type)
		for _, c := range hook.Candidates(p.Type) {
			of, patterns = append(of, len(topics)), append(patterns, c)
		}
	}
	rows, _ := s.pool.Query(ctx, `
		select t.n, f.made from unnest(@tenants::uuid[], @caches::text[], @types::text[]) with ordinality as t(tenant_id, cache, type, n)
		cross join lateral (
			select count(*)::int as made from (
				select distinct w.id from unnest(@of::int[], @patterns::text[]) as c(n, pattern)
				cross join lateral (
					select s.webhook_id from subscriptions s
					where s.tenant_id = t.tenant_id and s.cache = t.cache and s.pattern = c.pattern offset 0
				) s
				cross join lateral (select w.id, w.profile from webhooks w where w.id = s.webhook_id and w.active offset 0) w
				where c.n = t.n and (w.profile = 'standard' or c.pattern = t.type)
				limit @most::int + 1) w
		) f`, pgx.StrictNamedArgs{"tenants": tenants, "caches": caches, "types": types, "of": of, "patterns": patterns, "most": most})
	var n, made int
	_, err := pgx.ForEachRow(rows, []any{&n, &made}, func() error {
		fanOuts[topics[n-1]] = made
		return nil
	})
	return fanOuts, err
}

// repeated are those whose keys are taken.
func (s *Store) repeated(ctx context.Context, list []*publishing) (repeated []*publishing, err error) {
	var tenants [][16]byte
	var keys []string
	for _, p := range list {
		tenants, keys = append(tenants, p.TenantID), append(keys, p.IdempotencyKey)
	}
	rows, _ := s.pool.Query(ctx, `
		select e.n from unnest($1::uuid[], $2::text[]) with ordinality as e(tenant_id, key, n)
		where e.key <> '' and exists (
			select from idempotency_keys k where k.tenant_id = e.tenant_id and k.key = e.key and k.expires_at > now() offset 0)`, tenants, keys)
	var n int
	_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
		repeated = append(repeated, list[n-1])
		return nil
	})
	return repeated, err
}
