package storage_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

func oneAttempt(w *hook.Webhook) { w.MaxAttempts = 1 }

// pastWith is past, with references.
func (f *fixture) pastWith(t *testing.T, eventType string, references []string, webhooks ...hook.Webhook) hook.EventID {
	t.Helper()
	id := f.past(t, eventType, webhooks...)
	for _, r := range references {
		f.exec(t, `insert into event_references (tenant_id, reference, event_id) values ($1, $2, $3)`, [16]byte(hook.DefaultTenant()), r, [16]byte(id))
	}
	return id
}

// pair is an event for a webhook.
type pair struct {
	event   hook.EventID
	webhook hook.WebhookID
}

// over starts a replay over several webhooks, of the last hour up to a minute ago.
func (f *fixture) over(t *testing.T, status hook.ReplayStatus, change func(*hook.Replay)) hook.Replay {
	t.Helper()
	r, err := f.CreateReplay(t.Context(), f.manyReplay(status, change))
	require.NoError(t, err)
	return r
}

func (f *fixture) manyReplay(status hook.ReplayStatus, change func(*hook.Replay)) hook.Replay {
	r := hook.Replay{
		TenantID: hook.DefaultTenant(), Many: true, Status: status, Rate: 1000, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(-time.Minute),
	}
	if change != nil {
		change(&r)
	}
	return r
}

// sentBy returns the events and webhooks of a replay's deliveries, in order.
func (f *fixture) sentBy(t *testing.T, r hook.Replay) []pair {
	t.Helper()
	rows, err := f.db.Query(t.Context(), `select event_id, webhook_id from deliveries where replay_id = $1 order by event_id, webhook_id`, [16]byte(r.ID))
	require.NoError(t, err)
	list := []pair{}
	for rows.Next() {
		var p pair
		require.NoError(t, rows.Scan((*[16]byte)(&p.event), (*[16]byte)(&p.webhook)))
		list = append(list, p)
	}
	require.NoError(t, rows.Err())
	return list
}

// counted returns what a replay would send to each webhook.
func (f *fixture) counted(t *testing.T, r hook.Replay) map[hook.WebhookID]int {
	t.Helper()
	n, err := f.CountReplay(t.Context(), r, 100_000)
	require.NoError(t, err)
	require.True(t, n.Complete)
	all := 0
	for _, of := range n.Webhooks {
		all += of
	}
	require.Equal(t, n.Events, all)
	return n.Webhooks
}

func sortPairs(list []pair) []pair {
	slices.SortFunc(list, func(a, b pair) int {
		return slices.Compare(slices.Concat(a.event[:], a.webhook[:]), slices.Concat(b.event[:], b.webhook[:]))
	})
	return slices.Compact(list)
}

func perWebhook(list []pair) map[hook.WebhookID]int {
	counts := map[hook.WebhookID]int{}
	for _, p := range list {
		counts[p.webhook]++
	}
	return counts
}

// forget deletes a replay and its deliveries.
func (f *fixture) forget(t *testing.T, r hook.Replay) {
	t.Helper()
	f.exec(t, `delete from deliveries where replay_id = $1`, [16]byte(r.ID))
	f.exec(t, `delete from replays where id = $1`, [16]byte(r.ID))
}

// A6: what a list of deliveries shows for some filters is what a replay with these filters sends, each event once for a
// webhook, without those that have succeeded or have an attempt to come. A count counts the same.
func TestAReplaySendsWhatTheListShows(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	var webhooks []hook.Webhook
	for range 3 {
		webhooks = append(webhooks, f.webhook(t, events("*"), oneAttempt))
	}
	random := rand.New(rand.NewPCG(1, 2))
	all := map[hook.DeliveryID]pair{}
	outcomes := []func(hook.DeliveryID){
		func(id hook.DeliveryID) { f.attempt(t, id, answered(200)) },
		func(id hook.DeliveryID) { f.attempt(t, id, answered(503)) },
		func(id hook.DeliveryID) { f.attempt(t, id, answered(404)) },
		func(id hook.DeliveryID) { f.attempt(t, id, timedOut()) },
		func(id hook.DeliveryID) {
			require.NoError(t, f.CancelDeliveries(t.Context(), []hook.DeliveryID{id}, hook.TextWebhookDisabled))
		},
		func(hook.DeliveryID) {}, // an attempt is to come
	}
	for i := range 40 {
		var references []string
		if i%3 == 0 {
			references = []string{"order_1", fmt.Sprint("line_", i%6)}
		}
		to := webhooks[:1+random.IntN(3)]
		id := f.pastWith(t, []string{"user.created", "user.deleted", "order.paid"}[i%3], references, to...)
		for _, d := range must(f.DeliveriesOfEvent(t.Context(), id, 10)) {
			all[d.ID] = pair{id, d.WebhookID}
			outcomes[random.IntN(len(outcomes))](d.ID)
		}
	}
	// Some have been sent again already, with success or without.
	first := f.over(t, hook.ReplayFailed, func(r *hook.Replay) { r.EventTypes, r.StatusClass = []string{"user.*"}, 5 })
	f.steps(t, first)
	for _, w := range webhooks {
		for _, job := range f.backlog(t, w, 100).Jobs {
			f.attempt(t, job.Delivery.ID, answered([]int{200, 500}[random.IntN(2)]))
		}
	}
	f.steps(t, first)
	require.NotEmpty(t, f.sentBy(t, first))

	final := true
	tried, sent := 0, 0
	for _, status := range []hook.ReplayStatus{hook.ReplayFailed, hook.ReplayAll} {
		for _, class := range []int{0, 2, 4, 5} {
			for _, failure := range []hook.ErrorClass{hook.ClassNone, hook.ClassTimeout, hook.ClassStatus} {
				for _, reference := range []string{"", "order_1", "line_3", "none"} {
					for _, types := range [][]string{nil, {"user.*"}, {"order.paid", "user.deleted"}} {
						for _, some := range [][]hook.WebhookID{nil, {webhooks[1].ID}, {webhooks[0].ID, webhooks[2].ID}} {
							r := f.manyReplay(status, func(r *hook.Replay) {
								r.StatusClass, r.Class, r.Reference, r.EventTypes, r.WebhookIDs = class, failure, reference, types, some
							})
							search := hook.DeliverySearch{
								StatusClass: class, Class: failure, Reference: reference, EventTypes: types, WebhookIDs: some,
								Undelivered: status == hook.ReplayFailed, Final: &final,
							}
							if !r.Searches() || len(search.Wanted()) == 0 || random.IntN(3) > 0 { // a third of them is enough
								continue
							}
							want := f.expected(t, search, r)
							require.Equal(t, perWebhook(want), f.counted(t, r))
							replay, err := f.CreateReplay(t.Context(), r)
							require.NoError(t, err)
							require.True(t, f.steps(t, replay).Exhausted)
							require.Equal(t, want, f.sentBy(t, replay), "%+v", search)
							tried, sent = tried+1, sent+len(want)
							f.forget(t, replay)
						}
					}
				}
			}
		}
	}
	require.Greater(t, tried, 50)
	require.Greater(t, sent, 100)
}

// expected returns what a replay must send of what a search lists.
func (f *fixture) expected(t *testing.T, search hook.DeliverySearch, r hook.Replay) []pair {
	t.Helper()
	list := []pair{}
	for _, d := range every(t, 100, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
		p.Since, p.Until = r.Since, r.Until
		return f.FindDeliveries(t.Context(), hook.OneTenant(hook.DefaultTenant()), search, p)
	}) {
		others := must(f.DeliveriesOfEvent(t.Context(), d.EventID, 100))
		stands := slices.ContainsFunc(others, func(o hook.Delivery) bool {
			return o.WebhookID == d.WebhookID && (o.Outstanding() || r.Status == hook.ReplayFailed && o.State == hook.StateSuccess)
		})
		if !stands {
			list = append(list, pair{d.EventID, d.WebhookID})
		}
	}
	return sortPairs(list)
}

// A6: a replay over webhooks sends each event to those that it is about, and no others. It leaves out inactive webhooks, and
// Momento's unless they have missed the message.
func TestReplayOverWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one, two := f.webhook(t, events("user.*"), oneAttempt), f.webhook(t, events("user.created"), oneAttempt)
	off := f.webhook(t, events("user.*"), oneAttempt, inactive)
	stranger := f.webhook(t, ofTenant(f.tenant(t, "stranger")), events("*"))
	momento := f.webhook(t, func(w *hook.Webhook) {
		w.Profile, w.Cache, w.Name, w.Events, w.MaxAttempts = hook.ProfileMomento, "chat", "one", []string{"room"}, 1
	})
	created, deleted := f.past(t, "user.created", one), f.past(t, "user.deleted", one)
	f.end(t, one, created, 500)
	f.end(t, one, deleted, 200)
	missed := f.past(t, "user.created")
	sent, message := f.past(t, "room", momento), f.past(t, "room")
	f.exec(t, `update events set cache = 'chat' where type = 'room'`)
	f.end(t, momento, sent, 500)

	for _, c := range []struct {
		status hook.ReplayStatus
		some   []hook.WebhookID
		want   []pair
	}{
		{hook.ReplayFailed, nil, []pair{{created, one.ID}}},
		{hook.ReplayMissing, nil, []pair{{missed, one.ID}, {missed, two.ID}, {created, two.ID}, {message, momento.ID}}},
		{hook.ReplayMissing, []hook.WebhookID{two.ID, off.ID, stranger.ID}, []pair{{missed, two.ID}, {created, two.ID}}},
		{hook.ReplayAll, nil, []pair{{created, one.ID}, {created, two.ID}, {deleted, one.ID}, {missed, one.ID}, {missed, two.ID}}},
	} {
		r := f.manyReplay(c.status, func(r *hook.Replay) { r.WebhookIDs = c.some })
		require.Equal(t, perWebhook(c.want), f.counted(t, r))
		r = f.over(t, c.status, func(r *hook.Replay) { r.WebhookIDs = c.some })
		step := f.steps(t, r)
		require.True(t, step.Exhausted)
		require.Equal(t, sortPairs(c.want), f.sentBy(t, r), "%s %v", c.status, c.some)
		require.Equal(t, hook.ReplayProgress{Outstanding: len(c.want)}, step.Progress)
		f.forget(t, r)
	}

	r := f.over(t, hook.ReplayMissing, func(r *hook.Replay) { r.WebhookIDs = []hook.WebhookID{one.ID, two.ID, off.ID} })
	f.steps(t, r)
	for _, job := range f.backlog(t, two, 10).Jobs {
		f.attempt(t, job.Delivery.ID, answered(200))
	}
	list, more, err := f.ReplayWebhooks(t.Context(), &r, 10)
	require.NoError(t, err)
	require.False(t, more)
	require.ElementsMatch(t, []hook.ReplayWebhook{
		{WebhookID: one.ID, ReplayProgress: hook.ReplayProgress{Outstanding: 1}},
		{WebhookID: two.ID, ReplayProgress: hook.ReplayProgress{Succeeded: 2}},
		{WebhookID: off.ID, LeftOut: hook.LeftOutInactive},
	}, list)
	_, more, err = f.ReplayWebhooks(t.Context(), &r, 2)
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, r.WebhookIDs, must(f.Replay(t.Context(), r.TenantID, r.ID)).WebhookIDs)
	for _, job := range f.backlog(t, one, 10).Jobs {
		f.attempt(t, job.Delivery.ID, answered(500))
	}
	step := f.steps(t, r)
	require.Equal(t, hook.ReplayCompleted, step.Replay.State)
	require.Equal(t, hook.ReplayProgress{Succeeded: 2, Failed: 1}, step.Progress)
}

// A6: chosen deliveries are sent again, whatever their status, each event once for a webhook. Tests are not, nor what has an
// attempt to come.
func TestReplayOfChosenDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one, two := f.webhook(t, oneAttempt), f.webhook(t, oneAttempt)
	var ids []hook.DeliveryID
	var want []pair
	for i := range 6 {
		event := f.past(t, "user.created", one, two)
		if i < 4 {
			f.end(t, one, event, []int{200, 500}[i%2])
			want = append(want, pair{event, one.ID})
		}
		for _, d := range must(f.DeliveriesOfEvent(t.Context(), event, 10)) {
			if d.WebhookID == one.ID {
				ids = append(ids, d.ID)
			}
		}
	}
	chosen := func(r *hook.Replay) {
		r.DeliveryIDs, r.WebhookIDs, r.Since, r.Until = ids, []hook.WebhookID{one.ID}, time.Now().Add(-time.Hour), time.Now()
	}
	running := f.over(t, hook.ReplayFailed, nil)
	require.Equal(t, perWebhook(want), f.counted(t, f.manyReplay(hook.ReplayAll, chosen)))
	r := f.over(t, hook.ReplayAll, chosen) // beside another one
	require.Equal(t, ids, must(f.Replay(t.Context(), r.TenantID, r.ID)).DeliveryIDs)
	require.True(t, f.steps(t, r).Exhausted)
	require.Equal(t, sortPairs(want), f.sentBy(t, r))
	f.forget(t, running)
}

// A6: the rate and the window hold for all webhooks together, and a step may end between two webhooks of an event. No pair is
// missed or sent twice.
func TestRateOfAReplayOverWebhooks(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	var want []pair
	var all []hook.EventID
	for range 20 {
		all = append(all, f.past(t, "user.created"))
	}
	var webhooks []hook.Webhook
	for range 7 {
		w := f.webhook(t, oneAttempt)
		webhooks = append(webhooks, w)
		for _, e := range all {
			want = append(want, pair{e, w.ID})
		}
	}
	r := f.over(t, hook.ReplayMissing, func(r *hook.Replay) { r.Rate = 5 })
	step := must(f.ReplayStep(t.Context(), r.ID, 0))
	require.Equal(t, 5, step.Created)
	require.Len(t, step.Undrained, 5)
	require.Equal(t, 2, must(f.ReplayStep(t.Context(), r.ID, 3)).Created)
	require.Len(t, f.sentBy(t, r), 7)
	for range 100 {
		if step = f.steps(t, r); step.Replay.Ended() {
			break
		}
		require.LessOrEqual(t, len(f.sentBy(t, r))-step.Progress.Succeeded, 140)
		for _, w := range webhooks {
			for _, job := range f.backlog(t, w, 100).Jobs {
				f.attempt(t, job.Delivery.ID, answered(200))
			}
		}
	}
	require.Equal(t, hook.ReplayCompleted, step.Replay.State)
	require.Equal(t, sortPairs(want), f.sentBy(t, r))
	require.Equal(t, 140, step.Replay.Created)
	require.Equal(t, 20, step.Replay.Looked, "each event once, however many steps it took")
}

// A6: a webhook that does not take its deliveries goes on by itself, and does not stop the others.
func TestAStuckWebhookDoesNotStopAReplay(t *testing.T) {
	t.Parallel()
	// More events than the window of 10 s has room for.
	n, rate, rounds := longtest.Size(14, 40), longtest.Size(1, 2), longtest.Size(20, 60)
	for _, status := range []hook.ReplayStatus{hook.ReplayFailed, hook.ReplayMissing} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			var all []hook.EventID
			stuck, other := f.webhook(t, oneAttempt), f.webhook(t, oneAttempt)
			var to []hook.Webhook
			if status == hook.ReplayFailed {
				to = []hook.Webhook{stuck, other}
			}
			for range n {
				e := f.past(t, "user.created", to...)
				all = append(all, e)
				for _, w := range to {
					f.end(t, w, e, 500)
				}
			}
			r := f.over(t, status, func(r *hook.Replay) { r.Rate = rate })
			answer := func(w hook.Webhook) {
				for _, job := range f.backlog(t, w, 100).Jobs {
					f.attempt(t, job.Delivery.ID, answered(200))
				}
			}
			var step hook.ReplayStep
			for range rounds {
				step = f.steps(t, r)
				answer(other)
				f.exec(t, `update deliveries set created_at = created_at - interval '1 minute' where replay_id = $1`, [16]byte(r.ID))
			}
			made := perWebhook(f.sentBy(t, r))
			require.Equal(t, len(all), made[other.ID], "all of them")
			require.Less(t, made[stuck.ID], len(all), "it has its own window")
			require.True(t, step.Full)
			require.Zero(t, step.Created)
			list, _, err := f.ReplayWebhooks(t.Context(), &r, 10)
			require.NoError(t, err)
			for _, w := range list {
				require.Equal(t, w.WebhookID == stuck.ID, w.Behind)
			}
			for range rounds { // it answers again
				if step = f.steps(t, r); step.Replay.Ended() {
					break
				}
				answer(stuck)
			}
			require.Equal(t, hook.ReplayCompleted, step.Replay.State)
			require.Equal(t, map[hook.WebhookID]int{stuck.ID: n, other.ID: n}, perWebhook(f.sentBy(t, r)))
			require.Len(t, sortPairs(f.sentBy(t, r)), 2*n, "none twice")
		})
	}
}

// A webhook has one replay at a time, whether of its own or over several. Chosen deliveries may be sent at any time.
func TestReplaysOfAWebhookConflict(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one, two, three := f.webhook(t), f.webhook(t), f.webhook(t)
	refused := func(r hook.Replay) {
		t.Helper()
		_, err := f.CreateReplay(t.Context(), r)
		requireKind(t, hook.KindConflict, err)
	}
	of := func(ids ...hook.WebhookID) func(*hook.Replay) { return func(r *hook.Replay) { r.WebhookIDs = ids } }
	single := f.replay(t, one, hook.ReplayFailed, nil)
	refused(f.manyReplay(hook.ReplayFailed, nil))
	refused(f.manyReplay(hook.ReplayFailed, of(two.ID, one.ID)))
	both := f.over(t, hook.ReplayFailed, of(two.ID))
	refused(f.manyReplay(hook.ReplayFailed, of(two.ID, three.ID)))
	refused(hook.Replay{TenantID: two.TenantID, WebhookID: two.ID, Status: hook.ReplayAll, Rate: 1, Since: single.Since, Until: single.Until})
	f.over(t, hook.ReplayAll, func(r *hook.Replay) { r.DeliveryIDs, r.WebhookIDs = []hook.DeliveryID{{1}}, []hook.WebhookID{one.ID} })
	list, _, err := f.Replays(t.Context(), hook.OneTenant(two.TenantID), &two.ID, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, both.ID, list[0].ID)
	require.Zero(t, list[0].WebhookID)
	f.forget(t, single)
	f.forget(t, both)
	f.over(t, hook.ReplayFailed, nil)
	refused(hook.Replay{TenantID: three.TenantID, WebhookID: three.ID, Status: hook.ReplayAll, Rate: 1, Since: single.Since, Until: single.Until})
}

// M7: two replays that run at once send no message twice, even if they were begun by processes of different versions, which
// don't refuse the second.
func TestReplaysAtOnceSendNothingTwice(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, func(w *hook.Webhook) {
		w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, "chat", "one", []string{"room"}
	})
	for range 60 {
		f.past(t, "room")
	}
	f.exec(t, `update events set cache = 'chat'`)
	single := f.replay(t, w, hook.ReplayMissing, func(r *hook.Replay) { r.Rate = 7 })
	f.exec(t, `update replays set ended_at = now(), state = 'canceled'`) // so that the second is not refused
	many := f.over(t, hook.ReplayMissing, func(r *hook.Replay) { r.Rate = 11 })
	f.exec(t, `update replays set ended_at = null, state = 'running'`)
	var g errgroup.Group
	for _, r := range []hook.Replay{single, many, single, many} {
		g.Go(func() error {
			for range 20 {
				if _, err := f.ReplayStep(t.Context(), r.ID, 0); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, 60, scalar[int](t, f, `select count(*) from deliveries`))
	require.Equal(t, 60, scalar[int](t, f, `select count(distinct event_id) from deliveries`))
}

// A replay over several webhooks is paused, slowed down and canceled as one of a single webhook is. It ends when none of
// its webhooks is left.
func TestCancelAReplayOverWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 3 {
		f.past(t, "user.created")
	}
	one, two := f.webhook(t), f.webhook(t)
	r := f.over(t, hook.ReplayMissing, nil)
	f.steps(t, r)
	require.Equal(t, hook.ReplayProgress{Outstanding: 6}, must(f.ReplayProgress(t.Context(), r.ID)))
	version := f.health(t, two).Version
	r, err := f.UpdateReplay(t.Context(), r.TenantID, r.ID, func(r *hook.Replay) error { r.State = hook.ReplayCanceled; return nil })
	require.NoError(t, err)
	require.True(t, r.Ended())
	require.Equal(t, hook.ReplayProgress{Canceled: 6}, must(f.ReplayProgress(t.Context(), r.ID)))
	require.Equal(t, version+1, f.health(t, two).Version, "senders load the deliveries again")

	r = f.over(t, hook.ReplayFailed, func(r *hook.Replay) { r.WebhookIDs = []hook.WebhookID{one.ID, two.ID} })
	f.disable(t, one)
	require.Equal(t, hook.ReplayRunning, must(f.ReplayStep(t.Context(), r.ID, 0)).Replay.State)
	require.NoError(t, f.DeleteWebhook(t.Context(), two.TenantID, two.ID))
	step := must(f.ReplayStep(t.Context(), r.ID, 0))
	require.Equal(t, hook.ReplayCanceled, step.Replay.State)
	require.Equal(t, hook.TextNoWebhookLeft, step.Replay.Reason)
	require.NoError(t, f.PurgeReplays(t.Context(), -time.Minute))
	require.Zero(t, scalar[int](t, f, `select count(*) from replay_walks`))
}

// A process of the version before can read a replay over several webhooks. Its step, which would cancel it for want of its
// webhook, fails.
func TestAnOlderProcessDoesNotEndAReplayOverWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	r := f.over(t, hook.ReplayFailed, nil)
	require.Equal(t, [16]byte(r.ID), scalar[[16]byte](t, f, `select webhook_id from replays`))
	const step = `update replays set state = 'canceled', reason = $1, ended_at = now()`
	for _, reason := range []string{hook.TextWebhookDeleted, hook.TextWebhookDisabled} {
		_, err := f.db.Exec(t.Context(), step, reason)
		require.ErrorContains(t, err, "replays_over_many")
	}
	require.Equal(t, hook.ReplayRunning, must(f.Replay(t.Context(), r.TenantID, r.ID)).State)
	f.exec(t, step, "") // a client may
}

// The label of a replay over several webhooks says how many they are.
func TestLabelOfAReplayOverWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one, two := f.webhook(t), f.webhook(t)
	r := f.over(t, hook.ReplayFailed, func(r *hook.Replay) { r.WebhookIDs = []hook.WebhookID{one.ID, two.ID} })
	label := must(f.ReplayLabel(t.Context(), r.ID))
	require.Equal(t, hook.Label{TenantID: one.TenantID, Tenant: label.Tenant, Webhook: "webhooks: 2"}, label)
	f.forget(t, r)
	require.Equal(t, "all webhooks", must(f.ReplayLabel(t.Context(), f.over(t, hook.ReplayFailed, nil).ID)).Webhook)
}
