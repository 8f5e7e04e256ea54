package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// batchPath is the endpoint that publishes many events in one request. A product under test may lack it.
const batchPath = "/v1/events/batch"

// client makes requests to the targets, each to the next address in turn.
type client struct {
	urls     []string
	key      string
	http     *http.Client
	requests atomic.Uint64
}

func newClient(urls []string, key string, conns int) *client {
	return &client{urls: urls, key: key, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: conns, DisableCompression: true},
		Timeout:   time.Minute,
	}}
}

// send makes a request and returns the status and the body of the response.
func (c *client) send(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	return c.sendFor(ctx, "", method, path, body)
}

// sendFor is send for the tenant that the key acts for; "" names none.
func (c *client) sendFor(ctx context.Context, tenant, method, path string, body []byte) (int, []byte, error) {
	url := c.urls[c.requests.Add(1)%uint64(len(c.urls))]
	r, err := http.NewRequestWithContext(ctx, method, url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Content-Type", "application/json")
	if tenant != "" {
		r.Header.Set("Grapnel-Tenant", tenant)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// outcome returns the name under which the result of a publish is counted.
func outcome(status int, err error) string {
	if err != nil {
		return "no answer"
	}
	return "HTTP " + strconv.Itoa(status)
}

// subscribe makes an event type and a webhook for it on each URL.
func (c *client) subscribe(ctx context.Context, eventType string, urls ...string) error {
	if err := c.createType(ctx, "", eventType); err != nil {
		return err
	}
	for _, url := range urls {
		if err := c.createWebhook(ctx, "", eventType, url); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) createType(ctx context.Context, tenant, eventType string) error {
	if status, answer, err := c.sendFor(ctx, tenant, http.MethodPut, "/v1/event-types/"+eventType, []byte(`{}`)); err != nil || status/100 != 2 {
		return fmt.Errorf("create event type: HTTP %d %s: %w", status, answer, err)
	}
	return nil
}

func (c *client) createWebhook(ctx context.Context, tenant, eventType, url string) error {
	body, err := json.Marshal(map[string]any{"url": url, "events": []string{eventType}})
	if err != nil {
		return err
	}
	if status, answer, err := c.sendFor(ctx, tenant, http.MethodPost, "/v1/webhooks", body); err != nil || status != http.StatusCreated {
		return fmt.Errorf("create webhook: HTTP %d %s: %w", status, answer, err)
	}
	return nil
}

// hasBatch reports whether the target has the batch endpoint.
func (c *client) hasBatch(ctx context.Context) (bool, error) {
	status, _, err := c.send(ctx, http.MethodPost, batchPath, []byte(`{}`))
	return status != http.StatusNotFound && status != http.StatusMethodNotAllowed, err
}

// taken returns which of n items a batch response accepted: those with an id and no error. The list is the only array
// in the response.
func taken(answer []byte, n int) ([]bool, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(answer, &members); err != nil {
		return nil, err
	}
	for _, value := range members {
		var items []map[string]any
		if json.Unmarshal(value, &items) != nil || len(items) != n {
			continue
		}
		ok := make([]bool, n)
		for i, item := range items {
			_, failed := item["error"]
			_, accepted := item["id"]
			if event, nested := item["event"].(map[string]any); nested {
				_, accepted = event["id"]
			}
			ok[i] = accepted && !failed
		}
		return ok, nil
	}
	return nil, fmt.Errorf("the answer to a batch of %d has no list of as many results", n)
}
