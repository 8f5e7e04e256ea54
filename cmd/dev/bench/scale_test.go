package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

// fakeGrapnel keeps webhooks, and sends each event once when it is published. A webhook belongs to its key's tenant, or to the
// one that the request names.
type fakeGrapnel struct {
	mu       sync.Mutex
	tenants  int
	webhooks map[string][]string // URLs by key and event type
}

func newFakeGrapnel() *fakeGrapnel { return &fakeGrapnel{webhooks: map[string][]string{}} }

func (f *fakeGrapnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var in struct {
		URL    string          `json:"url"`
		Events json.RawMessage `json:"events"`
	}
	_ = json.Unmarshal(body, &in) // a missing member gets an error below
	f.mu.Lock()
	defer f.mu.Unlock()
	key := r.Header.Get("Authorization") + r.Header.Get("Grapnel-Tenant")
	if strings.HasPrefix(r.URL.Path, "/v1/tenants/") {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"id":"ten_00000000000000000000000001"}`)
		return
	}
	switch r.URL.Path {
	case "/v1/tenants":
		f.tenants++
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"api_key":{"key":"key%d"}}`, f.tenants)
	case "/v1/webhooks":
		var names []string
		_ = json.Unmarshal(in.Events, &names) // as above
		for _, eventType := range names {
			f.webhooks[key+eventType] = append(f.webhooks[key+eventType], in.URL)
		}
		w.WriteHeader(http.StatusCreated)
	case "/v1/events":
		f.publish(w, r, body)
	case "/v1/events/batch":
		var events []json.RawMessage
		_ = json.Unmarshal(in.Events, &events) // as above
		f.publish(w, r, events...)
		fmt.Fprintf(w, `{"results":[%s]}`, strings.TrimSuffix(strings.Repeat(`{"id":"evt_1"},`, len(events)), ","))
	}
}

// publish sends each event to the webhooks of its type.
func (f *fakeGrapnel) publish(w http.ResponseWriter, r *http.Request, events ...json.RawMessage) {
	for _, event := range events {
		var in struct {
			Type   string `json:"type"`
			Tenant string `json:"tenant"`
		}
		_ = json.Unmarshal(event, &in) // an event without a type has no webhooks
		for _, url := range f.webhooks[r.Header.Get("Authorization")+r.Header.Get("Grapnel-Tenant")+in.Tenant+in.Type] {
			if err := post(r, url, event); err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

func post(r *http.Request, url string, body []byte) error {
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := (&http.Client{}).Do(out)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// setupScale returns a spec whose two targets are addresses of the same fake.
func setupScale(t *testing.T, name string) bench.Spec {
	t.Helper()
	fake := newFakeGrapnel()
	spec := bench.Spec{
		Case: name, Publishers: 3, Payload: 100, Webhooks: 7, Rate: 100,
		WarmUp: 20 * time.Millisecond, Window: 100 * time.Millisecond, Drain: time.Minute,
	}
	for range 2 {
		server := httptest.NewServer(fake)
		t.Cleanup(server.Close)
		spec.Targets = append(spec.Targets, server.URL)
	}
	return spec
}

func TestWideIsOneEventToAllTwice(t *testing.T) {
	t.Parallel()
	rows, err := bench.Run(t.Context(), setupScale(t, bench.CaseWide))
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, "wide again", rows[1].Case)
	for _, r := range rows {
		require.False(t, r.Failed(), "%+v", r)
		require.Empty(t, r.Errors)
		require.Equal(t, 1, r.Events)
		require.Equal(t, 7, r.Deliveries)
		require.Contains(t, r.Note, "of 7 deliveries")
	}
}

func TestManyIsOneEventEach(t *testing.T) {
	t.Parallel()
	rows, err := bench.Run(t.Context(), setupScale(t, bench.CaseMany))
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.False(t, rows[0].Failed(), "%+v", rows[0])
	require.Empty(t, rows[0].Errors)
	require.Equal(t, 7, rows[0].Events)
	require.Equal(t, 7, rows[0].Deliveries)
}

func TestSoakHasMinutes(t *testing.T) {
	t.Parallel()
	rows, err := bench.Run(t.Context(), setupScale(t, bench.CaseSoak))
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.False(t, rows[0].Failed(), "%+v", rows[0])
	require.Equal(t, 10, rows[0].Events, "100 a second for a tenth of one")
	require.Len(t, rows[0].Soak.Minutes, 1)
	require.Equal(t, 10, rows[0].Soak.Minutes[0].Deliveries)
}

func TestScaleEndsWhenWebhooksCannotBeMade(t *testing.T) {
	t.Parallel()
	refusing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refusing.Close)
	for _, name := range bench.LongCases() {
		spec := setupScale(t, name)
		spec.Targets = []string{refusing.URL}
		// These are needed before a webhook; neither is used.
		spec.Database, spec.Processes = "postgres://127.0.0.1:1/none", []bench.Process{{Name: "temporal", PID: math.MaxInt32}}
		_, err := bench.Run(t.Context(), spec)
		require.ErrorContains(t, err, "HTTP 404", name)
	}
}
