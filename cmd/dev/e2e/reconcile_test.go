package e2e

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"grapnel/cmd/dev/stack"
)

func dialTemporal(t testing.TB, s *stackProcess) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.ready["temporal"]})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// Spec 10: if a workflow is terminated by hand while its delivery waits for the next attempt, one of the two
// reconcilers starts it again under the same id. Nothing is sent twice.
func TestTerminatedWorkflowIsStartedAnew(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=split", "--reconcile-after=2s", "--retry-schedule=3s,3s,3s,3s")
	c, temporal := clientOf(t, s), dialTemporal(t, s)
	r := newRecorder(t, status(500), status(200))
	hook, eventType := c.webhook(r.URL, nil)
	event := c.publish(eventType, object{})
	waitFor(t, "the first attempt to be recorded", func() bool { return c.deliveries(hook)[0].(object)["attempts"] == 1.0 })
	before, err := temporal.DescribeWorkflowExecution(t.Context(), event, "")
	require.NoError(t, err)
	require.NoError(t, temporal.TerminateWorkflow(t.Context(), event, "", "by hand"))
	d := c.settled(hook)
	require.Equal(t, "success", d["status"])
	require.EqualValues(t, 2, d["attempts"])
	require.Len(t, r.requests(), 2)
	require.Equal(t, event, c.do(http.MethodGet, "/v1/events/"+event, nil, http.StatusOK)["workflow_id"])
	waitFor(t, "the new workflow to end", func() bool {
		after, err := temporal.DescribeWorkflowExecution(t.Context(), event, "")
		require.NoError(t, err)
		info := after.GetWorkflowExecutionInfo()
		require.NotEqual(t, before.GetWorkflowExecutionInfo().GetExecution().GetRunId(), info.GetExecution().GetRunId())
		return info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	})
}

// The same for a workflow that events share: the new workflow has all of its events, also those that are not
// overdue yet.
func TestTerminatedBurstIsStartedAnew(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=split", "--reconcile-after=2s", "--retry-schedule=4s,4s,4s,4s")
	c, temporal := clientOf(t, s), dialTemporal(t, s)
	c.transport.Transport.(*http.Transport).MaxIdleConnsPerHost = 32
	const publishers, each = 32, 8
	first := make([]http.HandlerFunc, publishers*each, publishers*each+1)
	for i := range first {
		first[i] = status(500)
	}
	r := newRecorder(t, append(first, status(200))...)
	hook, eventType := c.webhook(r.URL, nil)
	var group errgroup.Group
	ids := make(chan string, publishers*each)
	for range publishers {
		group.Go(func() error {
			for range each {
				code, answer, err := c.try(http.MethodPost, "/v1/events", object{"type": eventType, "data": 1})
				if err != nil || code != http.StatusAccepted {
					return err
				}
				ids <- answer["id"].(string)
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.Len(t, ids, publishers*each)
	close(ids)
	waitFor(t, "the first attempts", func() bool { return len(r.requests()) >= publishers*each })
	workflows, shared := map[string]bool{}, 0
	for id := range ids {
		workflow := c.do(http.MethodGet, "/v1/events/"+id, nil, http.StatusOK)["workflow_id"].(string)
		if workflow != id {
			shared++
		}
		if !workflows[workflow] {
			workflows[workflow] = true
			require.NoError(t, temporal.TerminateWorkflow(t.Context(), workflow, "", "by hand"))
		}
	}
	require.Positive(t, shared)
	waitUpTo(t, 2*eventually, "all deliveries", func() bool { return len(r.requests()) >= 2*publishers*each })
	attempts := map[string][]string{}
	for _, request := range r.requests() {
		var event struct{ ID string }
		require.NoError(t, json.Unmarshal(request.Body, &event))
		attempts[event.ID] = append(attempts[event.ID], request.Header.Get("X-Webhook-Attempt"))
	}
	require.Len(t, attempts, publishers*each)
	for id, list := range attempts {
		require.Equal(t, []string{"1", "2"}, list, id)
	}
	require.Equal(t, "success", c.settled(hook)["status"])
	t.Logf("%d events, %d of them in %d workflows that were shared or not", publishers*each, shared, len(workflows))
}

// Spec 9: a worker that dies during an attempt delays the next attempt by the time-out and the reconciler's
// --reconcile-after, not by the retry policy's current interval.
func TestCrashDelaysByMinutesNotHours(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=split", "--restart", "--reconcile-after=2s", "--retry-schedule=1s,2h")
	c := clientOf(t, s)
	r := newRecorder(t, status(500), hang, status(200))
	hook, eventType := c.webhook(r.URL, object{"timeout_seconds": 30})
	c.publish(eventType, object{})
	waitFor(t, "the second attempt", func() bool { return len(r.requests()) == 2 })
	require.NoError(t, syscall.Kill(s.pid(t, "worker"), syscall.SIGKILL))
	waitUpTo(t, 45*time.Second+eventually, "the attempt to be made again", func() bool { return len(r.requests()) == 3 })
	require.Equal(t, "2", r.requests()[2].Header.Get("X-Webhook-Attempt"), "the one that was cut off is not counted")
	d := c.settled(hook)
	require.Equal(t, "success", d["status"])
	require.EqualValues(t, 2, d["attempts"])
}

// lastPID returns the last process id that the stack printed for a restarted process, or "".
func (s *stackProcess) lastPID(name string) string {
	found := regexp.MustCompile(name+` is back, pid (\d+)`).FindAllStringSubmatch(s.output.String(), -1)
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1][1]
}

// Spec 10: Temporal loses its databases while a delivery waits for its next attempt, and comes back empty. The API
// and the worker, which keep running, restore what Temporal needs; nothing is lost or sent twice.
func TestTemporalComesBackEmpty(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=split", "--restart", "--reconcile-after=2s", "--retry-schedule=5s,5s,5s,5s")
	c := clientOf(t, s)
	r := newRecorder(t, status(500), status(200))
	hook, eventType := c.webhook(r.URL, nil)
	waiting := c.publish(eventType, object{"n": 1})
	waitFor(t, "the first attempt to be recorded", func() bool { return c.deliveries(hook)[0].(object)["attempts"] == 1.0 })

	kill := func(pid int) { require.NoError(t, syscall.Kill(pid, syscall.SIGKILL)) }
	kill(s.pid(t, "temporal"))
	require.NoError(t, stack.OnDatabase(t.Context(), s.ready["postgres"], func(conn *pgx.Conn) error {
		for _, name := range []string{stack.TemporalDatabase, stack.VisibilityDatabase} {
			if _, err := conn.Exec(t.Context(), `drop database if exists `+name+` with (force)`); err != nil {
				return err
			}
		}
		return nil
	}))
	// Temporal may have begun to start before the databases were dropped, so restart it once more.
	waitFor(t, "Temporal to be started", func() bool { return s.lastPID("temporal") != "" })
	half := s.lastPID("temporal")
	pid, err := strconv.Atoi(half)
	require.NoError(t, err)
	kill(pid)
	meanwhile := c.publish(eventType, object{"n": 2})
	waitFor(t, "Temporal to be started anew", func() bool { return s.lastPID("temporal") != half })

	waitUpTo(t, 2*eventually, "both deliveries", func() bool {
		for _, d := range c.deliveries(hook) {
			if d.(object)["status"] != "success" {
				return false
			}
		}
		return true
	})
	attempts := map[string][]string{}
	for _, request := range r.requests() {
		var event struct{ ID string }
		require.NoError(t, json.Unmarshal(request.Body, &event))
		attempts[event.ID] = append(attempts[event.ID], request.Header.Get("X-Webhook-Attempt"))
	}
	require.Equal(t, map[string][]string{waiting: {"1", "2"}, meanwhile: {"1"}}, attempts)
}

// Search attributes that are removed at run time are added again.
func TestSearchAttributesComeBack(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), quick)
	temporal := dialTemporal(t, s)
	has := func() bool {
		list, err := temporal.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: stack.TemporalNamespace})
		require.NoError(t, err)
		return list.GetCustomAttributes()["EventType"] != enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED
	}
	require.True(t, has())
	waitFor(t, "EventType to be gone", func() bool {
		// Repeat the removal, since the attribute may be back before the check. An error is fine: the attribute may
		// be gone, or another change may be in progress.
		_, _ = temporal.OperatorService().RemoveSearchAttributes(t.Context(), &operatorservice.RemoveSearchAttributesRequest{
			Namespace: stack.TemporalNamespace, SearchAttributes: []string{"EventType"},
		})
		return !has()
	})
	waitFor(t, "EventType to be back", has)
}
