package storagetest

import (
	"context"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// processStore has the heartbeats of processes that make immediate attempts.
type processStore interface {
	Heartbeat(ctx context.Context, id hook.ProcessID) error
	EndProcess(ctx context.Context, id hook.ProcessID) error
	ProcessAlive(ctx context.Context, id hook.ProcessID) (bool, error)
}

func (w *world) requireAlive(id hook.ProcessID, want bool, why string) {
	w.t.Helper()
	alive, err := w.ProcessAlive(w.t.Context(), id)
	require.NoError(w.t, err)
	require.Equal(w.t, want, alive, why)
}

// processCases test the heartbeats of processes.
func processCases() map[string]func(*world) {
	return map[string]func(*world){
		"a process is alive while its heartbeat is young": func(w *world) {
			id := hook.NewProcessID()
			w.requireAlive(id, false, "it has no heartbeat yet")
			require.NoError(w.t, w.Heartbeat(w.t.Context(), id))
			w.requireAlive(id, true, "it has one now")
			w.Pass(w.t, hook.FenceAfter)
			w.requireAlive(id, true, "others take over later than it stops")
			w.Pass(w.t, hook.DeadAfter-hook.FenceAfter)
			w.requireAlive(id, false, "its heartbeat is late")
			require.NoError(w.t, w.Heartbeat(w.t.Context(), id))
			w.requireAlive(id, true, "it is back")
		},
		"a process ends": func(w *world) {
			id, other := hook.NewProcessID(), hook.NewProcessID()
			for _, process := range []hook.ProcessID{id, other} {
				require.NoError(w.t, w.Heartbeat(w.t.Context(), process))
			}
			for range 2 { // once more is no error
				require.NoError(w.t, w.EndProcess(w.t.Context(), id))
			}
			w.requireAlive(id, false, "it has ended")
			w.requireAlive(other, true, "another one goes on")
		},
	}
}
