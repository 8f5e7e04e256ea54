package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkTopicLatency measures the time from publish to a webhook's receipt and to the end of a waiting poll, on
// an otherwise idle stack:
//
//	go -C cmd/dev test -run '^$' -bench TopicLatency -benchtime 600x ./e2e
func BenchmarkTopicLatency(b *testing.B) {
	c := sharedAPI(b)
	cache, topic := topicOf(b)
	r := newRecorder(b)
	c.topicHook(cache, "hook", r.URL, topic)
	sent, accepted := make([]time.Time, b.N), make([]time.Duration, 0, b.N)
	polls := make(chan []time.Time, 1)
	go func() {
		var at []time.Time
		for len(at) < b.N {
			items, err := c.tryPoll(b.Context(), cache, topic, from(int64(len(at)+1)))
			if err != nil {
				b.Error(err)
				break
			}
			for range items {
				at = append(at, time.Now())
			}
		}
		polls <- at
	}()
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for i := range b.N {
		sent[i] = time.Now()
		c.say(cache, topic, fmt.Sprint(i, padding))
		accepted = append(accepted, time.Since(sent[i]))
		<-ticker.C
	}
	waitFor(b, "all messages", func() bool { return len(r.requests()) == b.N })
	var received, polled []time.Duration
	for _, request := range r.requests() {
		m, err := parseMessage(request.Body)
		require.NoError(b, err)
		received = append(received, request.At.Sub(sent[m.Sequence-1]))
	}
	for i, at := range <-polls {
		polled = append(polled, at.Sub(sent[i]))
	}
	for name, times := range map[string][]time.Duration{"receipt": received, "poll": polled, "204": accepted} {
		slices.Sort(times)
		for _, percent := range []int{50, 99} {
			at := times[min(len(times)*percent/100, len(times)-1)]
			b.ReportMetric(float64(at.Microseconds())/1000, "ms/"+name+"-p"+strconv.Itoa(percent))
		}
	}
	b.ReportMetric(0, "ns/op") // the publishing rate is fixed, so ns/op means nothing
}

// BenchmarkIdleSubscribers measures the cost of subscribers to topics without messages, in milliseconds of the
// API's processor time per second:
//
//	go -C cmd/dev test -run '^$' -bench IdleSubscribers -benchtime 1x ./e2e
func BenchmarkIdleSubscribers(b *testing.B) {
	const subscribers = 1000
	flags, err := freeFlags(b.Context())
	require.NoError(b, err)
	s := start(b, b.TempDir(), append(flags, "--processes=split")...)
	c := clientOf(b, s)
	// Connections are kept open for the next poll.
	c.transport = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: subscribers}}
	b.Cleanup(c.transport.CloseIdleConnections)
	for _, topics := range []int{0, 1, subscribers} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			pid := s.pid(b, "api")
			// The subscribers of the previous run are gone when their connections are closed.
			waitFor(b, "quiet", func() bool { return openFiles(b, pid) < subscribers/2 })
			if topics > 0 {
				stop := followers(b, c, subscribers, topics)
				defer stop()
				waitFor(b, "all subscribers", func() bool { return openFiles(b, pid) >= subscribers })
			}
			for range b.N {
				before := processorTime(b, pid)
				begin := time.Now()
				<-time.After(20 * time.Second)
				b.ReportMetric(float64((processorTime(b, pid)-before).Milliseconds())/time.Since(begin).Seconds(), "cpu-ms/s")
			}
			b.ReportMetric(0, "ns/op")
		})
		c.transport.CloseIdleConnections()
	}
}

// followers polls topics with n subscribers until stop is called.
func followers(b *testing.B, c *apiClient, n, topics int) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	cache, _ := topicOf(b)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.tryPoll(ctx, cache, fmt.Sprint("topic ", i%topics), ""); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
	}
}

func openFiles(b *testing.B, pid int) int {
	b.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	require.NoError(b, err)
	return len(files)
}

// processorTime returns the processor time that a process has used, in user and system mode.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	// The command's name is in parentheses and may contain any character, so count the fields after it (proc(5)).
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		require.NoError(b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go supports
}
