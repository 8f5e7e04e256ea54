package workflows_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	sdkworker "go.temporal.io/sdk/worker"

	"grapnel/activities"
	"grapnel/internal/hook"
	"grapnel/worker"
	"grapnel/workflows"
)

// wanted lists the histories that must be in testdata. The end-to-end tests of cmd/dev have recorded them from a real
// server. Other histories in testdata are replayed too.
func wanted() []string {
	return []string{
		"deliver_success.json",
		"deliver_retries_then_success.json",
		"deliver_failed.json",
		// The same with inline attempts.
		"first_success.json",
		"first_retries_then_success.json",
		"first_failed.json",
		"deliver_fanout.json", // over 500 deliveries: several activities; over 10,000: children too
		"sendnow.json",
		"drain.json",
		"replay.json",
		"delete_tenant.json",
	}
}

// TestReplays replays recorded histories against today's workflows: a change that would break
// workflows in progress fails here first.
func TestReplays(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(t, err)
	names := make([]string, 0, len(found))
	for _, path := range found {
		names = append(names, filepath.Base(path))
	}
	for _, name := range wanted() {
		if !slices.Contains(names, name) {
			t.Errorf("workflows/testdata/%s is missing: record it from a real server (cmd/dev's end-to-end tests write it)", name)
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replayer := sdkworker.NewWorkflowReplayer()
			worker.Register(replayRegistry{replayer}, &workflows.Workflows{Schedule: hook.DefaultSchedule()}, &activities.Activities{})
			require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(nil, filepath.Join("testdata", name)))
		})
	}
}

// replayRegistry takes the workflows: a replay runs no activities.
type replayRegistry struct{ sdkworker.WorkflowReplayer }

func (replayRegistry) RegisterActivityWithOptions(any, activity.RegisterOptions) {}
