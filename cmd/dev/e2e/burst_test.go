package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// At ordinary rates each event has its own workflow, whose id is the event's id, and its first attempts are made at
// the accept, not by the workflow. This test runs before the parallel tests: on a busy machine starts take long, and
// events that wait for them share a workflow. So one round of three has to be good.
func TestOrdinaryRatesShareNoWorkflow(t *testing.T) {
	s := startWith(t, t.TempDir()) // a stack on which no other test publishes
	c := clientOf(t, s)
	const events, rounds = 40, 3
	for round := 1; ; round++ {
		shared, immediate := c.atOrdinaryRate(s, events)
		t.Logf("%d of %d share a workflow, first attempts of %d at the accept", shared, events, immediate)
		if shared <= 2 && immediate >= events-2 || round == rounds {
			require.LessOrEqual(t, shared, 2, "of %d", events)
			require.GreaterOrEqual(t, immediate, events-2)
			return
		}
	}
}

// atOrdinaryRate publishes events at 20 a second. It returns how many share a workflow, and for how many the workflow
// has made no attempts: those were made at the accept.
func (c *apiClient) atOrdinaryRate(s *stackProcess, events int) (shared, immediate int) {
	t := c.t
	r := newRecorder(t)
	_, eventType := c.webhook(r.URL, nil)
	tick := time.NewTicker(time.Second / 20)
	defer tick.Stop()
	var ids []string
	for range events {
		ids = append(ids, c.publish(eventType, 1))
		<-tick.C
	}
	waitFor(t, "all events", func() bool { return len(r.requests()) == events })
	allStarted(t, s)
	temporal := dialTemporal(t, s)
	for _, id := range ids {
		workflow := c.workflowOf(id)
		if workflow != id {
			shared++
		}
		if !sends(historyOf(t, temporal, workflow)) {
			immediate++
		}
	}
	return shared, immediate
}

// In a burst events share workflows. Each event arrives once, and names the workflow that delivered it, which
// exists in Temporal.
func TestBurstSharesWorkflows(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir())
	c := clientOf(t, s)
	c.transport.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	r := newRecorder(t)
	webhook, eventType := c.webhook(r.URL, nil)
	const publishers, each = 64, 15
	var group errgroup.Group
	ids := make(chan string, publishers*each)
	for range publishers {
		group.Go(func() error {
			for range each {
				status, answer, err := c.try(http.MethodPost, "/v1/events", object{"type": eventType, "data": 1})
				if err != nil {
					return err
				}
				if status == http.StatusAccepted {
					ids <- answer["id"].(string)
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.Len(t, ids, publishers*each)
	close(ids)
	waitFor(t, "all events", func() bool { return len(r.requests()) >= publishers*each })
	got := map[string]int{}
	for _, request := range r.requests() {
		var event struct{ ID string }
		require.NoError(t, json.Unmarshal(request.Body, &event))
		got[event.ID]++
	}
	allStarted(t, s)
	temporal := dialTemporal(t, s)
	workflows := map[string]int{}
	for id := range ids {
		require.Equal(t, 1, got[id], id)
		workflow := c.workflowOf(id)
		if workflows[workflow]++; workflows[workflow] == 1 {
			_, err := temporal.DescribeWorkflowExecution(t.Context(), workflow, "")
			require.NoError(t, err, workflow)
			require.Equal(t, workflow != id, strings.HasSuffix(workflow, "-burst"))
		}
	}
	require.Less(t, len(workflows), publishers*each, "some shared one")
	t.Logf("%d events in %d workflows", publishers*each, len(workflows))
	require.Equal(t, "success", c.settled(webhook)["status"])
}
