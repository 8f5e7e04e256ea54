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

// replayAPI is an API that begins replays. The one it begins ends after some looks.
type replayAPI struct {
	url   string
	last  string // the last request's body
	looks int
	state string
}

func newReplayAPI(t *testing.T) *replayAPI {
	t.Helper()
	a := &replayAPI{state: "completed"}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = "--url=" + server.URL
	return a
}

// ServeHTTP implements http.Handler.
func (a *replayAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPost {
		text, _ := io.ReadAll(r.Body)
		a.last = string(text)
		if strings.Contains(a.last, `"dry_run":true`) {
			fmt.Fprint(w, `{"dry_run":true,"events":12,"complete":false,"webhooks":[{"webhook_id":"hook_1","events":12},{"webhook_id":"hook_2","events":0,"left_out":"at_most_once"}]}`)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, a.replay("running", ""))
		return
	}
	if a.looks--; a.looks > 0 {
		fmt.Fprint(w, a.replay("running", ""))
		return
	}
	fmt.Fprint(w, a.replay(a.state, `"ended_at":"2026-01-16T08:03:00Z",`))
}

func (a *replayAPI) replay(state, ended string) string {
	failed := map[string]int{"completed": 0, "failing": 2}[a.state]
	if state == "failing" {
		state = "completed"
	}
	return fmt.Sprintf(`{"id":"rpl_1","webhook_id":"","webhook_ids":["hook_1","hook_2"],"status":"failed","status_class":"5xx","since":"2026-01-15T00:00:00Z","until":"2026-01-16T00:00:00Z",
		"rate":100,"state":%q,"events":12,"scanned":30,"looked_to":"2026-01-16T00:00:00Z","created":12,%s"progress":{"succeeded":10,"failed":%d,"canceled":0,"outstanding":0},
		"webhooks":[{"webhook_id":"hook_1","succeeded":10,"failed":0,"canceled":0,"outstanding":0,"behind":true},{"webhook_id":"hook_2","succeeded":0,"failed":0,"canceled":0,"outstanding":0,"left_out":"inactive"}],
		"created_at":"2026-01-16T08:00:00Z","updated_at":"2026-01-16T08:00:00Z","workflow_id":"rpl_1"}`, state, ended, failed)
}

// A6: every flag is a member of the request.
func TestReplayFlags(t *testing.T) {
	t.Parallel()
	a := newReplayAPI(t)
	r := command(t, "", "replay", "--webhook=hook_1,hook_2", "--webhook=hook_3", "--since=2026-01-15T12:00:00Z", "--until=2026-01-16T12:00:00Z", "--status=all", "--status-class=5xx",
		"--error-class=status", "--event-type=user.*,a", "--reference=order_1", "--rate=7", a.url)
	require.NoError(t, r.failed)
	require.JSONEq(t, `{"webhook_ids":["hook_1","hook_2","hook_3"],"since":"2026-01-15T12:00:00Z","until":"2026-01-16T12:00:00Z","status":"all","status_class":"5xx","error_class":"status",
		"event_types":["user.*","a"],"reference":"order_1","rate":7}`, a.last)
	require.Contains(t, r.out, "webhook       2 webhooks\n")
	require.Contains(t, r.out, "status class  5xx\n")
	require.Contains(t, r.out, "hook_1   10                                        behind\n")
	require.Contains(t, r.out, "hook_2                                             left out: inactive\n")
	require.NoError(t, command(t, "", "replay", "--all", "--since=2026-01-15T12:00:00Z", a.url).failed)
	require.JSONEq(t, `{"since":"2026-01-15T12:00:00Z","status":"failed"}`, a.last)
	for args, want := range map[string]string{
		"--since=2h":                        "say what to replay",
		"--all --webhook=hook_1 --since=1h": "give one of --webhook, --all and --ids",
		"--all":                             "--since is missing",
		"--ids=- --status=failed":           "--ids chooses alone",
		"--all --since=1h --dry-run --wait": "nothing to --wait for",
		"--all --since=1h --status=some":    "--status",
	} {
		r := command(t, "", append([]string{"replay", a.url}, strings.Fields(args)...)...)
		require.ErrorContains(t, r.failed, want, args)
		require.Equal(t, 2, r.code(), args)
	}
}

// A6: deliveries are chosen one by one from what deliveries list --json prints, from lines, and from a file.
func TestReplayOfIDs(t *testing.T) {
	t.Parallel()
	a := newReplayAPI(t)
	for _, in := range []string{
		"del_2\ndel_1\n\ndel_2\n", `{"deliveries":[{"id":"del_1","status":"failed"}],"next_cursor":"x"}` + "\n" + `{"deliveries":[{"id":"del_2"}],"next_cursor":null}`,
	} {
		require.NoError(t, command(t, in, "replay", "--ids=-", a.url).failed)
		require.JSONEq(t, `{"delivery_ids":["del_1","del_2"]}`, a.last)
	}
	file := filepath.Join(t.TempDir(), "ids")
	require.NoError(t, os.WriteFile(file, []byte("del_3"), 0o600))
	require.NoError(t, command(t, "", "replay", "--ids="+file, a.url).failed)
	require.JSONEq(t, `{"delivery_ids":["del_3"]}`, a.last)
	var many strings.Builder
	for i := range mostReplayIDs + 1 {
		fmt.Fprintf(&many, "del_%d\n", i)
	}
	for in, want := range map[string]string{"": "there are no ids", `{"deliveries":[{"id":`: "want ids", many.String(): "there are 1001 ids"} {
		r := command(t, in, "replay", "--ids=-", a.url)
		require.ErrorContains(t, r.failed, want)
		require.Equal(t, 2, r.code())
	}
}

// A6: --dry-run counts for each webhook; --wait shows the end, and its exit code says whether everything arrived.
func TestReplayCountsAndWaits(t *testing.T) {
	t.Parallel()
	a := newReplayAPI(t)
	r := command(t, "", "replay", "--all", "--since=1h", "--dry-run", a.url)
	require.NoError(t, r.failed)
	require.Equal(t, "events  at least 12\n\nWEBHOOK  EVENTS  LEFT OUT\nhook_1   12      \nhook_2   0       at most once\n", r.out)
	r = command(t, "", "replay", "--all", "--since=1h", "--dry-run", "--json", a.url)
	require.True(t, json.Valid([]byte(r.out)))

	a.looks = 2
	r = commandOn(t, Streams{Live: true}, "replay", "--all", "--since=1h", "--wait", a.url)
	require.NoError(t, r.failed)
	require.Contains(t, r.err, "replay rpl_1\n")
	require.Contains(t, r.err, "running: looked to 2026-01-16 00:00:00Z, 12 sent: 10 succeeded, 0 failed, 0 outstanding")
	require.Contains(t, r.out, "completed")
	for state, want := range map[string]string{"canceled": "the replay is canceled", "failing": "2 deliveries did not succeed"} {
		a.state = state
		r = command(t, "", "replay", "--all", "--since=1h", "--wait", a.url)
		require.EqualError(t, r.failed, want)
		require.Equal(t, 6, r.code())
	}
}

// A1: --reference gives an event its references.
func TestPublishWithReferences(t *testing.T) {
	t.Parallel()
	a := newReplayAPI(t)
	_ = command(t, "", "events", "publish", "--type=a", "--data=1", "--reference=order_1, second", "--reference=cus_9", a.url)
	require.JSONEq(t, `{"type":"a","data":1,"references":["order_1, second","cus_9"]}`, a.last)
	require.ErrorContains(t, command(t, "", "events", "publish", "--reference=x", a.url).failed, "--reference needs --data")
}
