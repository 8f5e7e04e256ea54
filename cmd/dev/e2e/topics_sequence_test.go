package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// M6: fifty publishers use two processes, and some of them hang up during a request. The sequence numbers have no
// gap and no duplicate; every message that got its 204 is in the topic once, every other message at most once.
func TestTopicSequenceOfManyPublishers(t *testing.T) {
	t.Parallel()
	const publishers, messages, hangUp = 50, 2000, 5
	processes := []*apiClient{sharedAPI(t), secondAPI(t, shared.process, shared.dir)}
	// Publishers that hang up use separate connections: net/http may pass the end of one request to the next
	// request on the same connection.
	hangers := make([]*apiClient, len(processes))
	for i, c := range processes {
		hanger := *c
		hangers[i] = &hanger
		for _, c := range []*apiClient{c, &hanger} {
			c.transport = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: publishers}, Timeout: time.Minute}
			t.Cleanup(c.transport.CloseIdleConnections)
		}
	}
	cache, topic := topicOf(t)
	var mu sync.Mutex
	accepted, hungUp := map[string]bool{}, 0
	var group errgroup.Group
	begin := time.Now()
	for p := range publishers {
		group.Go(func() error {
			for i := range messages / publishers {
				c := processes[p%len(processes)]
				text, ctx, cancel := fmt.Sprintf("%d/%d", p, i), t.Context(), context.CancelFunc(func() {})
				hangsUp := (p+i)%hangUp == 0
				if hangsUp {
					c = hangers[p%len(processes)]
					// Fifty requests at once wait for each other, so random time limits end requests at every
					// stage.
					ctx, cancel = context.WithTimeout(ctx, time.Duration(1000+rand.IntN(50_000))*time.Microsecond)
				}
				err := c.trySay(ctx, cache, topic, text)
				cancel()
				// A dial may fail by the deadline before the context is done, and the deadline may appear as an
				// error of either kind.
				var timeout net.Error
				late := errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
				if err != nil && (!hangsUp || !late) {
					return fmt.Errorf("hangs up: %t: %w", hangsUp, err)
				}
				mu.Lock()
				if err == nil {
					accepted[text] = true
				} else {
					hungUp++
				}
				mu.Unlock()
			}
			return nil
		})
	}
	// One subscriber reads during publishing, another afterwards.
	const end = "the end"
	var live []string
	var subscriber errgroup.Group
	subscriber.Go(func() (err error) {
		live, err = processes[1].readTopic(t.Context(), cache, topic, end)
		return err
	})
	require.NoError(t, group.Wait())
	took := time.Since(begin)
	processes[0].say(cache, topic, end)
	require.NoError(t, subscriber.Wait())
	read, err := processes[0].readTopic(t.Context(), cache, topic, end)
	require.NoError(t, err)
	require.Equal(t, read, live)

	seen := map[string]bool{}
	for _, text := range read {
		require.False(t, seen[text], "%s comes once", text)
		seen[text] = true
	}
	for text := range accepted {
		require.True(t, seen[text], "%s got its 204", text)
	}
	t.Logf("N=%d numbers; %d got their 204, %d hung up, of which %d are there; %v, %.0f messages/s",
		len(read), len(accepted), hungUp, len(read)-1-len(accepted), took.Round(time.Millisecond), float64(len(accepted))/took.Seconds())
	require.NotZero(t, hungUp, "some have hung up")
}

// readTopic reads a topic from its first message until a message with the given text. A gap in the sequence numbers
// is an error.
func (c *apiClient) readTopic(ctx context.Context, cache, topic, until string) (texts []string, err error) {
	var page int64
	for len(texts) == 0 || texts[len(texts)-1] != until {
		items, err := c.tryPoll(ctx, cache, topic, fromOn(int64(len(texts)+1), page))
		if err != nil {
			return texts, err
		}
		if len(items) == 0 {
			return texts, fmt.Errorf("nothing comes after number %d", len(texts))
		}
		for _, i := range items {
			if i.Item == nil || i.Item.Sequence != int64(len(texts)+1) {
				return texts, fmt.Errorf("after number %d comes %+v, %+v", len(texts), i.Item, i.Discontinuity)
			}
			texts, page = append(texts, *i.Item.Value.Text), i.Item.Page
		}
	}
	return texts, nil
}
