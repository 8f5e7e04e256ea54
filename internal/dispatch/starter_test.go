package dispatch_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

// An accepted event's workflow is started at once, with its options, and the event is removed from the outbox
// soon after.
func TestStarterStartsAndMarks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		starter := newStarter(t, s, o, nil)
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })
		defer stop()
		event := o.accept(1)[0]
		starter.Dispatch(event)
		synctest.Wait()

		options, input := workflows.DeliverStart(event)
		require.Equal(t, options, s.started[idOf(event)])
		require.Equal(t, input, s.inputs[idOf(event)])
		require.Equal(t, contract.NameDeliver, s.names[idOf(event)])
		require.Equal(t, 1, o.left(), "marks are gathered")
		pass(100 * time.Millisecond)
		require.Zero(t, o.left())
	})
}

// Spec 9: a drain is started beside the events, which never wait for it.
func TestStarterStartsDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &temporalServer{}
		starter := newStarter(t, s, &outbox{}, nil)
		webhook := hook.WebhookID{1}
		for range 1_100 {
			starter.Drain(webhook)
		}
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })
		defer stop()
		synctest.Wait()
		options, input := workflows.DrainStart(webhook, hook.Label{})
		require.Equal(t, options, s.started[contract.DrainID(webhook)])
		require.Equal(t, input, s.inputs[contract.DrainID(webhook)])
		require.Equal(t, contract.NameDrain, s.names[contract.DrainID(webhook)])
		require.Equal(t, 1_000, s.calls, "what is too much is the sweeper's")
	})
}

// labels describes one webhook and one replay.
type labels struct{ err error }

func (l labels) DrainLabel(_ context.Context, webhook hook.WebhookID) (hook.Label, error) {
	return hook.Label{TenantID: hook.TenantID{7}, Tenant: "acme", WebhookID: webhook, Webhook: "example.com"}, l.err
}

func (l labels) ReplayLabel(context.Context, hook.ReplayID) (hook.Label, error) {
	return hook.Label{TenantID: hook.TenantID{7}, Tenant: "acme", WebhookID: hook.WebhookID{1}, Webhook: "example.com"}, l.err
}

// Drains and replays have a description, whichever component starts them. They are started without one if the store has
// none.
func TestDrainsAndReplaysAreLabelled(t *testing.T) {
	t.Parallel()
	webhook, replay := hook.WebhookID{1}, hook.ReplayID{2}
	for name, l := range map[string]labels{"known": {}, "store away": {hook.Unavailable("the store", errors.New("away"))}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &temporalServer{}
				starter := newStarter(t, s, &outbox{}, func(c *dispatch.StarterConfig) { c.Labels = l })
				starter.Drain(webhook)
				starter.Replay(replay)
				stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })
				defer stop()
				synctest.Wait()
				drain, _ := l.DrainLabel(t.Context(), webhook)
				replayed, _ := l.ReplayLabel(t.Context(), replay)
				if l.err != nil {
					drain, replayed = hook.Label{}, hook.Label{}
				}
				options, _ := workflows.DrainStart(webhook, drain)
				require.Equal(t, options, s.started[contract.DrainID(webhook)])
				options, _ = workflows.ReplayStart(replay, replayed)
				require.Equal(t, options, s.started[replay.String()])

				s = &temporalServer{}
				drains, err := dispatch.NewDrains(s, l, nil)
				require.NoError(t, err)
				require.NoError(t, drains.Drain(t.Context(), webhook))
				options, _ = workflows.DrainStart(webhook, drain)
				require.Equal(t, options, s.started[contract.DrainID(webhook)])
			})
		})
	}
}

func TestStarterMarksInBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{}
		starter := newStarter(t, s, o, nil)
		for _, event := range o.accept(1_200) {
			starter.Dispatch(event)
		}
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })
		synctest.Wait()
		stop()
		require.Equal(t, []int{500, 500, 200}, o.marks)
		require.LessOrEqual(t, s.most, 16, "a small number of starts at once")
	})
}

// If a start fails, the event stays in the outbox for the sweeper.
func TestStarterDoesNotMarkWhatFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		events := o.accept(3)
		s := &temporalServer{start: func(_ context.Context, id string) error {
			if id == idOf(events[1]) {
				return errors.New("refused")
			}
			return nil
		}}
		starter := newStarter(t, s, o, nil)
		for _, event := range events {
			starter.Dispatch(event)
		}
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })
		synctest.Wait()
		stop()
		require.Equal(t, 1, o.left())
		require.Equal(t, events[1].EventID, o.waiting[0].EventID)
	})
}

// S8: a publish never waits for Temporal. Events that do not fit into the queue are left to the sweeper.
func TestDispatchNeverBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		s := &temporalServer{start: hangs}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.Queue, c.Workers = 5, 2 })
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, 0) })
		start := time.Now()
		for _, event := range o.accept(50) {
			starter.Dispatch(event)
			synctest.Wait()
		}
		require.Zero(t, time.Since(start))
		calls, _ := s.numbers()
		require.Equal(t, 2, calls)
		stop()
		require.Equal(t, 50, o.left())
	})
}

// A start that Temporal does not answer is cut off, and the next start follows.
func TestStartsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		events := o.accept(2)
		s := &temporalServer{start: func(ctx context.Context, id string) error {
			if id == idOf(events[0]) {
				return hangs(ctx, id)
			}
			return nil
		}}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.Workers = 1 })
		for _, event := range events {
			starter.Dispatch(event)
		}
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })
		pass(11 * time.Second)
		_, started := s.numbers()
		require.Equal(t, 1, started)
		stop()
	})
}

// Spec 10: after SIGTERM, accepted events are still started and removed from the outbox.
func TestStarterDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		s := &temporalServer{start: func(context.Context, string) error {
			<-time.After(100 * time.Millisecond)
			return nil
		}}
		starter := newStarter(t, s, o, func(c *dispatch.StarterConfig) { c.Workers = 2 })
		for _, event := range o.accept(20) {
			starter.Dispatch(event)
		}
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, 5*time.Second) })
		synctest.Wait()
		begun := time.Now()
		stop()
		require.Equal(t, time.Second, time.Since(begun))
		_, started := s.numbers()
		require.Equal(t, 20, started)
		require.Zero(t, o.left())
	})
}

// Starts after SIGTERM take no longer than the time for shutdown, whichever system does not answer.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	t.Run("Temporal away", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			o := &outbox{}
			starter := newStarter(t, &temporalServer{start: hangs}, o, nil)
			for _, event := range o.accept(1_000) {
				starter.Dispatch(event)
			}
			stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, 5*time.Second) })
			synctest.Wait()
			begun := time.Now()
			stop()
			require.Equal(t, 5*time.Second, time.Since(begun))
			require.Equal(t, 1_000, o.left())
		})
	})
	t.Run("store away", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			o := &outbox{failing: func(ctx context.Context) error { return hangs(ctx, "") }}
			starter := newStarter(t, &temporalServer{}, o, nil)
			for _, event := range o.accept(5_000) {
				starter.Dispatch(event)
			}
			stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, 5*time.Second) })
			synctest.Wait()
			begun := time.Now()
			stop()
			require.Equal(t, 10*time.Second, time.Since(begun), "one mark's time-out")
		})
	})
}

// If events can't be removed from the outbox, they are started a second time at most.
func TestStarterGoesOnWithoutMarks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{failing: func(context.Context) error { return errors.New("away") }}
		s := &temporalServer{}
		starter := newStarter(t, s, o, nil)
		stop := running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Second) })
		for range 3 {
			for _, event := range o.accept(10) {
				starter.Dispatch(event)
			}
			pass(time.Second)
		}
		stop()
		_, started := s.numbers()
		require.Equal(t, 30, started)
		require.Equal(t, 30, o.left())
	})
}

func TestNewStarterChecksItsConfig(t *testing.T) {
	t.Parallel()
	whole := dispatch.StarterConfig{Temporal: &temporalServer{}, Outbox: &outbox{}, Logger: slog.New(slog.DiscardHandler)}
	for name, spoil := range map[string]func(*dispatch.StarterConfig){
		"no temporal": func(c *dispatch.StarterConfig) { c.Temporal = nil },
		"no outbox":   func(c *dispatch.StarterConfig) { c.Outbox = nil },
		"no logger":   func(c *dispatch.StarterConfig) { c.Logger = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := whole
			spoil(&c)
			_, err := dispatch.NewStarter(c)
			require.Error(t, err)
		})
	}
}
