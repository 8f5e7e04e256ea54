package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

// allStarted waits until every accepted event of the stack has its workflow. The starts of workflows whose first
// attempts were made wait for a pace.
func allStarted(t testing.TB, s *stackProcess) {
	t.Helper()
	waitUpTo(t, 3*eventually, "the outbox to be empty", func() bool {
		left := -1
		require.NoError(t, stack.OnDatabase(t.Context(), s.ready["postgres"], func(conn *pgx.Conn) error {
			return conn.QueryRow(t.Context(), `select count(*) from outbox`).Scan(&left)
		}))
		return left == 0
	})
}

// workflowOf returns the id of the workflow that an event names.
func (c *apiClient) workflowOf(event string) string {
	c.t.Helper()
	return c.do(http.MethodGet, "/v1/events/"+event, nil, http.StatusOK)["workflow_id"].(string)
}

// attemptsOf counts the attempts by event, and checks that each has a request only once.
func attemptsOf(t *testing.T, r *recorder) map[string]int {
	t.Helper()
	attempts := map[string]int{}
	for _, request := range r.requests() {
		id := request.Header.Get("Webhook-Id")
		attempts[id]++
		require.Equal(t, fmt.Sprint(attempts[id]), request.Header.Get("X-Webhook-Attempt"), id)
	}
	return attempts
}

// sends reports whether a workflow has run something that sends: an activity, or inline attempts.
func sends(history *historypb.History) bool {
	for _, e := range history.GetEvents() {
		if e.GetEventType() == enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED || e.GetEventType() == enumspb.EVENT_TYPE_MARKER_RECORDED {
			return true
		}
	}
	return false
}

// At 200 events a second a process starts far fewer workflows than it delivers events. Each event arrives once, and
// its workflow has ended, shows the outcomes, and is described like any other.
func TestWorkflowsAreSharedAboveThePace(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir())
	c, temporal := clientOf(t, s), dialTemporal(t, s)
	r := newRecorder(t)
	webhook, eventType := c.webhook(r.URL, nil)
	const batches, each = 60, 10
	body := object{"events": make([]object, each)}
	for i := range each {
		body["events"].([]object)[i] = object{"type": eventType, "data": i}
	}
	tick := time.NewTicker(time.Second / 20)
	defer tick.Stop()
	var ids []string
	for range batches {
		for _, result := range c.do(http.MethodPost, "/v1/events/batch", body, http.StatusAccepted)["results"].([]any) {
			ids = append(ids, result.(object)["event"].(object)["id"].(string))
		}
		<-tick.C
	}
	require.Len(t, ids, batches*each)
	waitFor(t, "all events", func() bool { return len(r.requests()) >= len(ids) })
	allStarted(t, s)
	events := map[string][]string{}
	for _, id := range ids {
		workflow := c.workflowOf(id)
		events[workflow] = append(events[workflow], id)
	}
	t.Logf("%d events in %d workflows", len(ids), len(events))
	require.Less(t, len(events), len(ids)/2)
	immediate := 0
	for workflow, list := range events {
		if !sends(historyOf(t, temporal, workflow)) {
			immediate++
		}
		var result contract.DeliverResult
		require.NoError(t, temporal.GetWorkflow(t.Context(), workflow, "").Get(t.Context(), &result))
		require.Equal(t, len(list), result.Succeeded, workflow)
		require.Len(t, result.Outcomes, min(len(list), 20), workflow)
		checkDescription(t, temporal, workflow, eventType, webhook, list)
	}
	require.Greater(t, immediate, len(events)/2, "workflows without attempts of their own, of %d", len(events))
	attempts := attemptsOf(t, r)
	require.Len(t, attempts, len(ids))
	require.Len(t, r.requests(), len(ids))
}

// checkDescription checks what the Temporal Web UI shows of a workflow: summary, details and search attributes.
func checkDescription(t *testing.T, temporal client.Client, workflow, eventType, webhook string, events []string) {
	t.Helper()
	d, err := temporal.WorkflowService().DescribeWorkflowExecution(t.Context(), &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: stack.TemporalNamespace, Execution: &commonpb.WorkflowExecution{WorkflowId: workflow},
	})
	require.NoError(t, err)
	decode := func(name string, into any) {
		require.NoError(t, converter.GetDefaultDataConverter().FromPayload(d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()[name], into), name)
	}
	var subject string
	var named, webhooks []string
	decode("EventType", &subject)
	require.Equal(t, eventType, subject)
	decode("EventId", &named)
	require.Len(t, named, min(len(events), hook.MaxNamed))
	require.Subset(t, events, named)
	decode("WebhookId", &webhooks)
	require.Equal(t, []string{webhook}, webhooks)
	var summary, details string
	metadata := d.GetExecutionConfig().GetUserMetadata()
	require.NoError(t, converter.GetDefaultDataConverter().FromPayload(metadata.GetSummary(), &summary))
	require.NoError(t, converter.GetDefaultDataConverter().FromPayload(metadata.GetDetails(), &details))
	start := hook.Start{EventType: eventType, Deliveries: len(events)}
	start.Others = make([]hook.EventID, len(events)-1)
	options, _ := workflows.DeliverStart(start)
	require.Equal(t, options.StaticSummary, summary)
	require.Contains(t, details, "| `"+webhook+"` | 127.0.0.1")
}

// While Temporal stands still first attempts are made all the same. A delivery that failed has its retry once
// Temporal is back, and is sent no more often than that.
func TestFirstAttemptsDoNotNeedTemporal(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=product", "--retry-schedule=1s,1s,1s,1s")
	c := clientOf(t, s)
	healthy, failing := newRecorder(t), newRecorder(t, status(500), status(200))
	hook, eventType := c.webhook(healthy.URL, nil)
	other := c.do(http.MethodPost, "/v1/webhooks", object{"url": failing.URL, "events": []string{eventType}}, http.StatusCreated)["id"].(string)
	pid := s.pid(t, "temporal")
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	goOn := func() time.Time {
		at := time.Now()
		require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
		return at
	}
	t.Cleanup(func() { goOn() })
	c.publish(eventType, object{})
	waitFor(t, "the first attempts", func() bool { return len(healthy.requests()) == 1 && len(failing.requests()) == 1 })
	waitFor(t, "their records", func() bool {
		return c.deliveries(hook)[0].(object)["status"] == "success" && c.deliveries(other)[0].(object)["attempts"] == 1.0
	})
	require.Len(t, failing.requests(), 1, "a retry needs Temporal")
	back := goOn()
	waitUpTo(t, 4*eventually, "the retry", func() bool { return len(failing.requests()) == 2 })
	require.True(t, failing.requests()[1].At.After(back))
	require.Equal(t, "success", c.settled(other)["status"])
	allStarted(t, s)
	require.Len(t, failing.requests(), 2)
	require.Len(t, healthy.requests(), 1)
}

// A process that gets SIGTERM while it makes first attempts ends cleanly: it records what is in flight, and nothing is
// sent twice when it is back.
func TestStopDuringFirstAttempts(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=product", "--restart", "--allow-http")
	c, temporal := clientOf(t, s), dialTemporal(t, s)
	release := make(chan struct{})
	held := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusOK)
	})
	quickly := newRecorder(t)
	hook, eventType := c.webhook(held.URL, object{"timeout_seconds": 30})
	c.do(http.MethodPost, "/v1/webhooks", object{"url": quickly.URL, "events": []string{eventType}}, http.StatusCreated)
	const events = 5
	first := c.publish(eventType, object{})
	ids := map[string]bool{first: true}
	waitFor(t, "its workflow to wait for the first attempts", func() bool {
		d, err := temporal.DescribeWorkflowExecution(t.Context(), first, "")
		return err == nil && len(d.GetPendingActivities()) == 1
	})
	for range events - 1 {
		ids[c.publish(eventType, object{})] = true
	}
	waitFor(t, "the requests", func() bool { return len(held.requests()) == events && len(quickly.requests()) == events })
	require.NoError(t, syscall.Kill(s.pid(t, "api"), syscall.SIGTERM))
	waitFor(t, "the process to stop", func() bool {
		code, _, err := c.try(http.MethodGet, "/readyz", nil)
		return err != nil || code != http.StatusOK
	})
	close(release)
	waitFor(t, "the process to end and to be back", func() bool { return s.lastPID("serve") != "" })
	require.Contains(t, s.output.String(), fmt.Sprintf("serve (pid %d) has ended: exit status 0", s.pid(t, "api")))
	allStarted(t, s)
	for id := range ids {
		require.True(t, strings.HasPrefix(c.workflowOf(id), "evt_"))
		historyOf(t, temporal, c.workflowOf(id))
	}
	for _, d := range c.deliveries(hook) {
		require.Equal(t, "success", d.(object)["status"])
		require.EqualValues(t, 1, d.(object)["attempts"])
	}
	for _, r := range []*recorder{held, quickly} {
		require.Len(t, attemptsOf(t, r), events)
		require.Len(t, r.requests(), events)
	}
}
