package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkIdleConsoles measures the cost of open consoles, which wait for changes, in milliseconds of the API's processor time
// per second: without consoles, and with a thousand of a tenant in which nothing happens.
//
//	go -C cmd/dev test -run '^$' -bench IdleConsoles -benchtime 1x ./e2e
func BenchmarkIdleConsoles(b *testing.B) {
	flags, err := freeFlags(b.Context())
	require.NoError(b, err)
	s := start(b, b.TempDir(), append(flags, "--processes=split")...)
	c := clientOf(b, s)
	for _, consoles := range []int{0, 1000} {
		b.Run(fmt.Sprintf("consoles=%d", consoles), func(b *testing.B) {
			pid := s.pid(b, "api")
			if consoles > 0 {
				stop := watchers(b, c, consoles)
				defer stop()
				waitFor(b, "all consoles", func() bool { return openFiles(b, pid) >= consoles })
			}
			for range b.N {
				before := processorTime(b, pid)
				begin := time.Now()
				<-time.After(30 * time.Second)
				b.ReportMetric(float64((processorTime(b, pid)-before).Milliseconds())/time.Since(begin).Seconds(), "cpu-ms/s")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// watchers waits for changes in n consoles until stop is called.
func watchers(b *testing.B, c *apiClient, n int) (stop func()) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	ctx, cancel := context.WithCancel(b.Context())
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			cursor := ""
			for ctx.Err() == nil {
				next, err := changesSince(ctx, client, c.url, c.key, cursor)
				if err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
				cursor = next
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
		client.CloseIdleConnections()
	}
}

// changesSince waits for a change since the cursor, and returns the next one.
func changesSince(ctx context.Context, client *http.Client, url, key, cursor string) (next string, err error) {
	if cursor != "" {
		cursor = "&since=" + cursor
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/changes?wait=25"+cursor, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+key)
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	var body struct{ Cursor string }
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("changes: %s", answer.Status)
	}
	err = json.NewDecoder(answer.Body).Decode(&body)
	return body.Cursor, err
}
