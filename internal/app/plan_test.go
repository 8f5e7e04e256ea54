package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

func TestPlanStop(t *testing.T) {
	t.Parallel()
	both, api, worker := Roles{API: true, Worker: true}, Roles{API: true}, Roles{Worker: true}
	for _, all := range []time.Duration{time.Second, 10 * time.Second, 45 * time.Second, time.Minute, 10 * time.Minute} {
		for _, roles := range []Roles{both, api, worker} {
			p := planStop(all, roles)
			require.Less(t, p.requests+p.starts+p.worker, all, "all stages fit, and closing does")
			require.Positive(t, p.starts)
			require.Equal(t, roles.API, p.requests > 0)
			require.Equal(t, roles.Worker, p.worker > 0)
			if roles == both {
				require.LessOrEqual(t, p.requests, all/3)
			}
		}
	}
	for _, roles := range []Roles{both, worker} {
		require.Greater(t, planStop(45*time.Second, roles).worker, hook.MaxTimeout, "no deploy cuts off an attempt")
	}
	require.Equal(t, stopPlan{requests: 7500 * time.Millisecond, starts: 3 * time.Second, worker: 33 * time.Second}, planStop(45*time.Second, both))
	require.Equal(t, 20*time.Second, planStop(time.Minute, both).requests)
}

// Each part stops after the parts that need it, and all stop within the deadline.
func TestStagesStopInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newStages(ctx)
		var ended []string
		for _, name := range []string{"worker", "starter", "api"} {
			s.start(ctx, name, func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second) //nolint:forbidigo // in a synctest bubble it takes no time
				ended = append(ended, name)
				return nil
			})
		}
		cancel()
		<-s.failed.Done()
		require.NoError(t, s.stop(time.Now().Add(10*time.Second)))
		require.Equal(t, []string{"api", "starter", "worker"}, ended)
	})
}

func TestStagesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStages(t.Context())
		hang := make(chan struct{})
		for _, name := range []string{"worker", "starter", "api"} {
			s.start(t.Context(), name, func(context.Context) error {
				<-hang
				return nil
			})
		}
		s.start(t.Context(), "broken", func(context.Context) error { return errors.New("broke") })
		<-s.failed.Done()
		begin := time.Now()
		err := s.stop(begin.Add(10 * time.Second))
		require.Equal(t, 10*time.Second, time.Since(begin))
		for _, text := range []string{"broke", "worker did not stop", "starter did not stop", "api did not stop"} {
			require.ErrorContains(t, err, text)
		}
		close(hang)
	})
}

// An answer that takes as long as the longest sending by hand is not cut off.
func TestServerBounds(t *testing.T) {
	t.Parallel()
	a := &App{options: Options{Logger: slog.New(slog.DiscardHandler)}}
	server := a.newServer(nil)
	require.Greater(t, server.WriteTimeout, contract.SendNowTimeout+server.ReadTimeout)
	require.Positive(t, server.ReadHeaderTimeout)
	require.Positive(t, server.IdleTimeout)
}
