package e2e

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

var record = flag.Bool("record", false, "write the histories that workflows' replay test reads")

// The workflow code replays the histories of a real server without a difference. -record saves them as histories
// that every later version of the workflows must replay.
func TestHistoriesReplay(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	deliver := func(more object, answers ...http.HandlerFunc) string {
		id, eventType := c.webhook(newRecorder(t, answers...).URL, more)
		event := c.publish(eventType, object{"id": 1})
		c.settled(id)
		return event
	}
	fanOut := func() string {
		r := newRecorder(t)
		id, eventType := c.webhook(r.URL, nil)
		for range deliveriesPerActivity {
			c.do(http.MethodPost, "/v1/webhooks", object{"url": r.URL, "events": []string{eventType}}, http.StatusCreated)
		}
		event := c.publish(eventType, object{"id": 1})
		waitFor(t, "all webhooks", func() bool { return len(r.requests()) > deliveriesPerActivity })
		c.settled(id)
		return event
	}
	byHand := func() string {
		id, _ := c.webhook(newRecorder(t).URL, nil)
		return c.do(http.MethodPost, "/v1/webhooks/"+id+"/test", nil, http.StatusOK)["id"].(string)
	}
	drained := func() string {
		id, eventType := c.webhook(newRecorder(t, status(500), status(200)).URL, object{"paused": true})
		c.publish(eventType, object{"id": 1})
		c.do(http.MethodPatch, "/v1/webhooks/"+id, object{"paused": false}, http.StatusOK)
		c.settled(id)
		return id + "-drain"
	}
	replayed := func() string {
		_, eventType := c.webhook(newRecorder(t).URL, nil)
		c.publish(eventType, object{"id": 1})
		id := c.do(http.MethodPost, "/v1/webhooks", object{"url": newRecorder(t).URL, "events": []string{eventType}}, http.StatusCreated)["id"].(string)
		path := c.replay(id, object{"status": "missing"})
		waitFor(t, "the replay to end", func() bool { return c.do(http.MethodGet, path, nil, http.StatusOK)["ended_at"] != nil })
		return strings.TrimPrefix(path, "/v1/replays/")
	}
	deleted := func() string {
		tenant := c.do(http.MethodPost, "/v1/tenants", object{"name": "gone"}, http.StatusCreated)["id"].(string)
		c.do(http.MethodDelete, "/v1/tenants/"+tenant, nil, http.StatusAccepted)
		return tenant + "-delete"
	}
	temporal, err := client.Dial(client.Options{HostPort: shared.process.ready["temporal"]})
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	for name, run := range map[string]func() string{
		"first_success":              func() string { return deliver(nil) },
		"first_retries_then_success": func() string { return deliver(nil, status(500), status(500), status(200)) },
		"first_failed":               func() string { return deliver(object{"max_attempts": 2}, status(500)) },
		"deliver_fanout":             fanOut,
		"sendnow":                    byHand,
		"drain":                      drained,
		"replay":                     replayed,
		"delete_tenant":              deleted,
	} {
		history := historyOf(t, temporal, run())
		w := &workflows.Workflows{Schedule: hook.DefaultSchedule()}
		replayer := worker.NewWorkflowReplayer()
		replayer.RegisterWorkflowWithOptions(w.Deliver, workflow.RegisterOptions{Name: contract.NameDeliver})
		replayer.RegisterWorkflowWithOptions(w.Drain, workflow.RegisterOptions{Name: contract.NameDrain})
		replayer.RegisterWorkflowWithOptions(w.Replay, workflow.RegisterOptions{Name: contract.NameReplay})
		replayer.RegisterWorkflowWithOptions(w.DeleteTenant, workflow.RegisterOptions{Name: contract.NameDeleteTenant})
		replayer.RegisterWorkflowWithOptions(w.SendNow, workflow.RegisterOptions{Name: contract.NameSendNow})
		require.NoError(t, replayer.ReplayWorkflowHistory(nil, history), name)
		if *record {
			text, err := protojson.MarshalOptions{Indent: " "}.Marshal(history)
			require.NoError(t, err)
			path := filepath.Join("..", "..", "..", "workflows", "testdata", name+".json")
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, append(text, '\n'), 0o644))
		}
	}
}

// Temporal's build ids of a workflow equal, to the letter, the ones set at its start: otherwise the server would
// write the workflow's row in the visibility store a second time.
func TestBuildIDsAreKnownFromTheStart(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	id, eventType := c.webhook(newRecorder(t).URL, nil)
	event := c.publish(eventType, object{"id": 1})
	c.settled(id)
	temporal := dialTemporal(t, shared.process)
	require.NotEmpty(t, historyOf(t, temporal, event).GetEvents())
	d, err := temporal.DescribeWorkflowExecution(t.Context(), event, "")
	require.NoError(t, err)
	var ids []string
	require.NoError(t, converter.GetDefaultDataConverter().FromPayload(
		d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()["BuildIds"], &ids))
	require.Equal(t, []string{"unversioned", "unversioned:" + workflows.BuildID}, ids)
}

// deliveriesPerActivity is a copy of the constant in workflows: one more delivery needs a second activity.
const deliveriesPerActivity = 500

func historyOf(t testing.TB, c client.Client, id string) *historypb.History {
	t.Helper()
	waitFor(t, "workflow "+id+" to end", func() bool {
		d, err := c.DescribeWorkflowExecution(t.Context(), id, "")
		// Its start may still wait for the pace.
		return err == nil && d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	})
	history := &historypb.History{}
	events := c.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		history.Events = append(history.Events, e)
	}
	return history
}
