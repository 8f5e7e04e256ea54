package cli

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const webhookList = `{"webhooks":[
 {"id":"hook_01kab1s6rzfkqbzry2kztmfpx1","url":"https://yourapp.com/webhook","events":["user.created"],"active":true,"profile":"standard","status":"healthy","timeout_seconds":15,"max_attempts":5,"created_at":"2026-01-15T12:00:00Z","updated_at":"2026-01-15T12:00:00Z"},
 {"id":"hook_01kab1s6rzfkqbzry2kztmfpx2","url":"https://yourapp.com/é\u001b[31m","events":["a.1","a.2","a.3","a.4"],"active":false,"profile":"commenda","status":"disabled","timeout_seconds":10,"max_attempts":5,"created_at":"2026-01-15T12:00:01+01:00","updated_at":"2026-01-15T12:00:00Z"}
],"next_cursor":"AXcB"}`

const deliveryDetail = `{"id":"del_01kab1s6rzfkqbzry2kztmfpx1","event_id":"evt_01kab1s6rzfkqbzry2kztmfpx1","webhook_id":"hook_01kab1s6rzfkqbzry2kztmfpx1",
"event_type":"user.created","status":"failed","status_code":500,"attempts":2,"error":"Connection refused","created_at":"2026-01-15T12:30:00Z","next_attempt_at":"2026-01-15T12:35:30.125Z","attempt_log":[
{"number":1,"started_at":"2026-01-15T12:30:00.084Z","duration_ms":84.2,"timings":{"dns_ms":0,"connect_ms":0,"tls_ms":0,"first_byte_ms":0},"remote_address":"203.0.113.7:443","request":{"url":"https://yourapp.com/webhook","headers":{}},"response":{"status_code":500,"headers":{},"body":"no"},"error":{"class":"status","message":"HTTP 500 Internal Server Error"}},
{"number":2,"started_at":"2026-01-15T12:30:30.1Z","duration_ms":1204.6,"timings":{"dns_ms":0,"connect_ms":0,"tls_ms":0,"first_byte_ms":0},"request":{"url":"https://yourapp.com/webhook","headers":{}},"error":{"class":"refused","message":"Connection refused"}}]}`

func TestTables(t *testing.T) {
	t.Parallel()
	list := answering(t, http.StatusOK, "application/json", webhookList)
	detail := answering(t, http.StatusOK, "application/json", deliveryDetail)
	r := command(t, "", "webhooks", "list", list)
	require.NoError(t, r.failed)
	golden(t, "webhooks.txt", r.out)
	require.Equal(t, "more entries: --cursor=AXcB\n", r.err)
	r = command(t, "", "deliveries", "get", "del_1", detail)
	require.NoError(t, r.failed)
	golden(t, "delivery.txt", r.out)
	// Colours do not move the columns.
	r = commandOn(t, Streams{Colour: true}, "webhooks", "list", list)
	require.NoError(t, r.failed)
	golden(t, "webhooks-colour.txt", r.out)
}

// An empty page may have a next page.
func TestAnEmptyPageLeadsOn(t *testing.T) {
	t.Parallel()
	r := command(t, "", "webhooks", "deliveries", "hook_1", "--event-type=user.created", answering(t, http.StatusOK, "application/json", `{"deliveries":[],"next_cursor":"AWQB"}`))
	require.NoError(t, r.failed)
	require.Equal(t, "more entries: --cursor=AWQB\n", r.err)
}

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(filepath.Join("testdata", name), []byte(got), 0o600))
	}
	want, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	require.Equal(t, string(want), got, name)
}

// For programs: the unchanged answer, and nothing else.
func TestJSON(t *testing.T) {
	t.Parallel()
	r := commandOn(t, Streams{Colour: true}, "webhooks", "list", "--json", answering(t, http.StatusOK, "application/json", webhookList))
	require.NoError(t, r.failed)
	require.Equal(t, webhookList+"\n", r.out) //nolint:testifylint // byte for byte
}

// A retry whose request failed exits with a failure code, and is shown.
func TestRetryThatFails(t *testing.T) {
	t.Parallel()
	r := command(t, "", "deliveries", "retry", "del_1", answering(t, http.StatusOK, "application/json", deliveryDetail))
	require.Equal(t, 6, r.code())
	require.EqualError(t, r.failed, "the delivery did not succeed: Connection refused")
	golden(t, "delivery.txt", r.out)
}

// There are no colours with NO_COLOR or without a terminal.
func TestColoursAreForTerminals(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "out")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	require.False(t, Standard(file).Colour)
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, terminal.Close()) })
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	require.True(t, Standard(terminal).Colour)
	t.Setenv("NO_COLOR", "1")
	require.False(t, Standard(terminal).Colour)
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	require.False(t, Standard(terminal).Colour)
}
