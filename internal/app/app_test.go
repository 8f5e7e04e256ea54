package app_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"grapnel/internal/app"
	"grapnel/internal/config"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
	"grapnel/internal/secrets"
	"grapnel/internal/syncbuf"
	"grapnel/storage/pgtemplate"
)

// TestMain makes Temporal unreachable. The tests of cmd/dev run everything with Temporal.
func TestMain(m *testing.M) {
	if err := os.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(pgtest.Main{M: m, Template: pgtemplate.Whole()})
}

const adminKey = "an-admin-key-of-the-tests"

func options(t *testing.T) app.Options {
	t.Helper()
	url := pgtest.New(t, pgtemplate.Whole())
	return app.Options{
		Config: config.Config{
			Database: config.Database{DatabaseURL: hook.Secret(url)},
			Keys:     config.Keys{EncryptionKey: hook.Secret(base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))},
			API:      config.API{APIAddr: "127.0.0.1:0", Auth: "key", AdminKey: adminKey, MaxBody: 102_400, TopicAge: 24 * time.Hour, TopicKeep: 10_000, MaxKeys: 100},
			Delivery: config.Delivery{RetrySchedule: hook.DefaultSchedule(), MaxEvents: 1, Retention: 720 * time.Hour, AuditRetention: 9600 * time.Hour, UsageRetention: 9600 * time.Hour},
			Process:  config.Process{ShutdownTimeout: 10 * time.Second},
		},
		Roles:   app.Roles{API: true},
		Logger:  slog.New(slog.NewTextHandler(io.Discard, nil)),
		Version: "test",
	}
}

// running is an app that runs until stop is called; stop returns the result of Run.
type running struct {
	addr   string
	client *http.Client
	cancel context.CancelFunc
	done   chan error
}

func start(t *testing.T, o app.Options) *running {
	t.Helper()
	a, err := app.New(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(a.Close)
	l, err := a.Listen(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	transport := &http.Transport{}
	r := &running{addr: l.Addr().String(), client: &http.Client{Transport: transport}, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- a.Run(ctx, l); close(r.done) }()
	t.Cleanup(func() {
		cancel()
		for range r.done {
			continue // wait until Run has returned
		}
		transport.CloseIdleConnections()
	})
	return r
}

func (r *running) do(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.addr+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+adminKey)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := r.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// awaitKey waits until Run has stored the admin key, which it does while it serves.
func (r *running) awaitKey(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		status, _ := r.do(t, http.MethodGet, "/v1/webhooks", "")
		return status == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
}

const webhookBody = `{"url":"https://yourapp.com/webhook","events":["user.created"]}`

// M8: a waiting subscriber is answered when the process stops, and does not delay
// the shutdown.
func TestStopAnswersSubscribers(t *testing.T) {
	t.Parallel()
	o := options(t) // it stops within 10 s, or fails; a poll takes 30 s
	r := start(t, o)
	r.awaitKey(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.addr+"/topics/chat/room?token="+adminKey, nil)
	require.NoError(t, err)
	answer := make(chan string, 1)
	go func() {
		response, err := r.client.Do(request)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answer <- string(body)
	}()
	db, err := pgx.Connect(t.Context(), o.Config.DatabaseURL.Reveal())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close(context.WithoutCancel(t.Context()))) })
	require.Eventually(t, func() bool { // the hub has read the topic's last number
		var n int
		require.NoError(t, db.QueryRow(t.Context(), `select count(*) from pg_stat_activity where query like '%from topics t left join%' and pid <> pg_backend_pid() and datname = current_database()`).Scan(&n))
		return n > 0
	}, 20*time.Second, 10*time.Millisecond)
	r.cancel()
	require.NoError(t, <-r.done)
	require.JSONEq(t, `{"items":[]}`, <-answer)
}

// S8: the 202 is given while Temporal is down, and the event stays in the outbox.
func TestAcceptsWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	o := options(t)
	r := start(t, o)
	r.awaitKey(t)
	status, body := r.do(t, http.MethodGet, "/readyz", "")
	require.Equal(t, http.StatusOK, status, "it still accepts events, so load balancers must send it requests")
	var ready struct{ Checks map[string]string }
	require.NoError(t, json.Unmarshal([]byte(body), &ready))
	require.Equal(t, "ok", ready.Checks["database"])
	require.Equal(t, "ok", ready.Checks["admin_key"])
	require.Equal(t, "unavailable", ready.Checks["temporal"])
	status, _ = r.do(t, http.MethodGet, "/healthz", "")
	require.Equal(t, http.StatusOK, status)

	status, body = r.do(t, http.MethodPost, "/v1/webhooks", webhookBody)
	require.Equal(t, http.StatusCreated, status, body)
	status, body = r.do(t, http.MethodPost, "/v1/events", `{"type":"user.created","data":1}`)
	require.Equal(t, http.StatusAccepted, status, body)
	r.cancel()
	require.NoError(t, <-r.done)

	db, err := pgx.Connect(t.Context(), o.Config.DatabaseURL.Reveal())
	require.NoError(t, err)
	var waiting int
	require.NoError(t, db.QueryRow(t.Context(), `select count(*) from outbox`).Scan(&waiting))
	require.NoError(t, db.Close(t.Context()))
	require.Equal(t, 1, waiting, "another process starts it")
}

// Spec 10: a request that is in progress when the process is stopped finishes.
func TestDrain(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	r.awaitKey(t)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", r.addr)
	require.NoError(t, err)
	defer conn.Close() // the server closes the connection first
	half := len(webhookBody) / 2
	_, err = io.WriteString(conn, "POST /v1/webhooks HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nAuthorization: Bearer "+adminKey+
		"\r\nContent-Type: application/json\r\nContent-Length: "+itoa(len(webhookBody))+"\r\n\r\n")
	require.NoError(t, err)
	// The server asks for the body: the request is in progress.
	said := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	_, err = io.ReadFull(conn, said)
	require.NoError(t, err)
	require.Contains(t, string(said), "100 Continue")
	_, err = io.WriteString(conn, webhookBody[:half])
	require.NoError(t, err)
	r.cancel()
	require.Eventually(t, func() bool { // no new request is accepted
		other, err := d.DialContext(t.Context(), "tcp", r.addr)
		if err == nil {
			require.NoError(t, other.Close())
		}
		return err != nil
	}, 20*time.Second, 10*time.Millisecond)
	_, err = io.WriteString(conn, webhookBody[half:])
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(answer, []byte("HTTP/1.1 201 Created")), "%s", answer)
	require.NoError(t, <-r.done)
}

func itoa(n int) string { text, _ := json.Marshal(n); return string(text) }

// Readiness fails first; new requests are still served for --drain-delay.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	o := options(t)
	o.Config.DrainDelay = time.Hour // limited to half of the time for requests
	o.Config.ShutdownTimeout = 6 * time.Second
	r := start(t, o)
	r.awaitKey(t)
	r.cancel()
	require.Eventually(t, func() bool {
		status, _ := r.do(t, http.MethodGet, "/readyz", "")
		return status == http.StatusServiceUnavailable
	}, 2*time.Second, 5*time.Millisecond)
	r.client.CloseIdleConnections()
	status, _ := r.do(t, http.MethodPost, "/v1/webhooks", webhookBody)
	require.Equal(t, http.StatusCreated, status)
	require.NoError(t, <-r.done)
}

// The whole shutdown has a time limit, whatever hangs.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	o := options(t)
	o.Config.ShutdownTimeout = 2 * time.Second
	r := start(t, o)
	r.awaitKey(t)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", r.addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /v1/webhooks HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nAuthorization: Bearer "+adminKey+
		"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n")
	require.NoError(t, err)
	_, err = io.ReadFull(conn, make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n")))
	require.NoError(t, err) // the body never arrives
	begin := time.Now()
	r.cancel()
	require.ErrorContains(t, <-r.done, "stop api")
	require.Less(t, time.Since(begin), o.Config.ShutdownTimeout+500*time.Millisecond)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	o, log := options(t), &syncbuf.Buffer{}
	o.Config.MetricsAddr = "127.0.0.1:0"
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	r := start(t, o)
	r.awaitKey(t)
	found := regexp.MustCompile(`msg="metrics listening" addr=(\S+)`).FindStringSubmatch(log.String())
	require.Len(t, found, 2)
	busy := found[1]
	scrape := &running{addr: busy, client: r.client}
	status, text := scrape.do(t, http.MethodGet, "/metrics", "")
	require.Equal(t, http.StatusOK, status)
	for _, line := range []string{
		`grapnel_http_requests_total{operation="list-webhooks",status="200"} `, `grapnel_http_request_duration_seconds_count{operation="list-webhooks"} `,
		"grapnel_db_pool_max_connections ", "grapnel_db_pool_acquires_total ", "go_goroutines ", "process_start_time_seconds ",
	} {
		require.Contains(t, text, "\n"+line)
	}
	status, _ = r.do(t, http.MethodGet, "/metrics", "")
	require.Equal(t, http.StatusNotFound, status, "the API's address has none")
	status, text = r.do(t, http.MethodGet, "/console/webhooks/hook_1", "")
	require.Equal(t, http.StatusOK, status, "a screen of the console (P1)")
	require.Contains(t, text, "/console/assets/")
	status, _ = r.do(t, http.MethodGet, "/consoles", "")
	require.Equal(t, http.StatusNotFound, status, "a path of the API")

	// A second process with the same address works, without metrics.
	other, log := options(t), &syncbuf.Buffer{}
	other.Config.MetricsAddr, other.Logger = busy, slog.New(slog.NewTextHandler(log, nil))
	second := start(t, other)
	second.awaitKey(t)
	require.Contains(t, log.String(), "no metrics: the address is in use")
	second.cancel()
	require.NoError(t, <-second.done)
}

// A worker has no API. It serves /healthz and /readyz beside its metrics. Temporal is unreachable here, so the
// worker is not ready.
func TestWorkerTellsOfItsHealth(t *testing.T) {
	t.Parallel()
	log := &syncbuf.Buffer{}
	o := options(t)
	o.Roles = app.Roles{Worker: true}
	o.Config.MetricsAddr = "127.0.0.1:0"
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	a, err := app.New(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(a.Close)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, nil) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	var found []string
	require.Eventually(t, func() bool {
		found = regexp.MustCompile(`msg="metrics listening" addr=(\S+)`).FindStringSubmatch(log.String())
		return found != nil
	}, 20*time.Second, 10*time.Millisecond)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	side := &running{addr: found[1], client: &http.Client{Transport: transport}}
	status, text := side.do(t, http.MethodGet, "/healthz", "")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"ok"}`, text)
	status, text = side.do(t, http.MethodGet, "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"status":"not ready"}`, text)
	status, _ = side.do(t, http.MethodGet, "/metrics", "")
	require.Equal(t, http.StatusOK, status)
}

func TestMetricsAddressThatIsNone(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Config.MetricsAddr = "192.0.2.1:0"
	r := start(t, o)
	require.ErrorContains(t, <-r.done, "--metrics-addr")
}

// The admin key is created once, however many processes are configured with it.
func TestAdminKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	o := options(t)
	first, second := start(t, o), start(t, o)
	first.awaitKey(t)
	second.awaitKey(t)
	_, body := first.do(t, http.MethodGet, "/v1/api-keys", "")
	require.Equal(t, 1, strings.Count(body, `"id"`), body)
}

func TestWorkerStopsWithoutTemporal(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Roles = app.Roles{Worker: true}
	a, err := app.New(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(a.Close)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, a.Run(ctx, nil))
}

func TestNewRefusals(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Config.EncryptionKey = "hush"
	_, err := app.New(t.Context(), o)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hush")

	o = options(t)
	o.Config.DatabaseURL = "postgres://user:hush@host:port/x"
	_, err = app.New(t.Context(), o)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hush")
}

func TestBusyAddress(t *testing.T) {
	t.Parallel()
	o := options(t)
	r := start(t, o)
	o.Config.APIAddr = r.addr
	a, err := app.New(t.Context(), o)
	require.NoError(t, err)
	defer a.Close()
	_, err = a.Listen(t.Context())
	require.ErrorContains(t, err, "--api-addr")
}
