package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// batches is an API that accepts every event whose type is not "bad". It keeps
// the events unchanged.
type batches struct {
	url    string
	sizes  []int
	events []string
	fails  int // number of the batch that is answered 503, from 1
}

func newBatches(t *testing.T) *batches {
	t.Helper()
	b := &batches{}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.url = "--url=" + server.URL
	return b
}

// ServeHTTP implements http.Handler.
func (b *batches) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct{ Events []json.RawMessage }
	text, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(text, &request); err != nil || len(b.sizes)+1 == b.fails {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	b.sizes = append(b.sizes, len(request.Events))
	var results []string
	for _, e := range request.Events {
		b.events = append(b.events, string(e))
		if strings.Contains(string(e), `"bad"`) {
			results = append(results, `{"status":422,"error":{"type":"about:blank","title":"T","status":422,"code":"INVALID_ARGUMENT","detail":"bad type"}}`)
			continue
		}
		results = append(results, `{"status":202,"event":{"id":"evt_1","type":"a","created_at":"2026-01-15T12:00:00Z","deliveries":1}}`)
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"accepted":0,"refused":0,"results":[%s]}`, strings.Join(results, ","))
}

func events(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"type\":\"a\",\"data\":%d}\n", i)
	}
	return b.String()
}

func TestPublishInBatches(t *testing.T) {
	t.Parallel()
	b := newBatches(t)
	r := command(t, "\n"+events(25)+"\n", "events", "publish", "--batch=10", b.url)
	require.NoError(t, r.failed)
	require.Equal(t, []int{10, 10, 5}, b.sizes)
	require.JSONEq(t, `{"type":"a","data":24}`, b.events[24])
	require.Regexp(t, `^25 accepted, in \d+\.\d s \(\d+/s\)\n$`, r.out)
	require.Empty(t, r.err, "there is no terminal to show progress on")
}

// The published events are those of the file, digit for digit.
func TestPublishKeepsTheBytes(t *testing.T) {
	t.Parallel()
	b := newBatches(t)
	line := `{"type":"a", "data":{"n":9007199254740993,"n":1.0e2,"t":"\u00e9"}}`
	require.NoError(t, command(t, line, "events", "publish", b.url).failed)
	require.Equal(t, []string{line}, b.events)
	require.NoError(t, command(t, "9007199254740993\n[1]\n", "events", "publish", "--type=a\"b", b.url).failed)
	require.Equal(t, []string{`{"type":"a\"b","data":9007199254740993}`, `{"type":"a\"b","data":[1]}`}, b.events[1:])
}

func TestPublishFromAFileWithProgress(t *testing.T) {
	t.Parallel()
	b := newBatches(t)
	file := filepath.Join(t.TempDir(), "events.ndjson")
	require.NoError(t, os.WriteFile(file, []byte(events(3)), 0o600))
	r := commandOn(t, Streams{Live: true}, "events", "publish", file, b.url)
	require.NoError(t, r.failed)
	require.Contains(t, r.err, "[██████████████████████████████] 100 %  3 accepted, ")
	require.True(t, strings.HasSuffix(r.err, "\r\x1b[K"), "the line is removed at the end: %q", r.err)
}

func TestPublishSaysWhatWasRefused(t *testing.T) {
	t.Parallel()
	b := newBatches(t)
	in := events(2) + "{\"type\":\"bad\",\"data\":1}\n" + events(1)
	r := command(t, in, "events", "publish", "--batch=2", b.url)
	require.Equal(t, 6, r.code())
	require.EqualError(t, r.failed, "1 events were refused")
	require.Equal(t, "line 3: bad type (422 INVALID_ARGUMENT)\n", r.err)
	require.Contains(t, r.out, "3 accepted, 1 refused, in ")

	r = command(t, in, "events", "publish", "--json", b.url)
	require.Equal(t, 6, r.code())
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	require.Len(t, lines, 4)
	for i, text := range lines {
		var result struct{ Line, Status int }
		require.NoError(t, json.Unmarshal([]byte(text), &result), text)
		require.Equal(t, i+1, result.Line)
	}
	require.Empty(t, r.err)
}

func TestPublishStopsAtALineThatIsNoEvent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"type":"a","data":`: "line 3 is not JSON: unexpected end of JSON input; 2 events before it were published",
		`nonsense`:            "line 3 is not JSON: ",
		`["type"]`:            "line 3 is not an event",
		`{} {}`:               "line 3 is not JSON: ",
		"{\"data\":\"\x00\"}": "line 3 is not JSON: ",
	} {
		b := newBatches(t)
		r := command(t, events(2)+text+"\n"+events(5), "events", "publish", b.url)
		require.ErrorContains(t, r.failed, want)
		require.Equal(t, 2, r.code())
		require.Len(t, b.events, 2, "the events before the line are published, and nothing after it")
	}
	b := newBatches(t)
	r := command(t, events(1)+strings.Repeat("x", longestLine+1), "events", "publish", b.url)
	require.ErrorContains(t, r.failed, "line 2: bufio.Scanner: token too long")
	require.Len(t, b.events, 1)
}

func TestPublishStopsWhenTheAPICanNot(t *testing.T) {
	t.Parallel()
	b := newBatches(t)
	b.fails = 2
	r := command(t, events(25), "events", "publish", "--batch=10", b.url)
	require.Equal(t, 3, r.code())
	require.EqualError(t, r.failed, "stopped at line 11, after 10 events: the server answered 503 Service Unavailable; it is not known whether the 10 events from that line on were published")
}

// A request stays below the API's limit, whatever the sizes of the lines.
func TestPublishBoundsRequests(t *testing.T) {
	t.Parallel()
	b := newBatches(t)
	line := fmt.Sprintf("{\"type\":\"a\",\"data\":%q}\n", strings.Repeat("x", 3<<20))
	require.NoError(t, command(t, strings.Repeat(line, 5), "events", "publish", b.url).failed)
	require.Equal(t, []int{3, 2}, b.sizes)
}
