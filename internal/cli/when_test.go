package cli

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine may have no time zones

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Times are parsed in the user's zone.
func TestParseWhen(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	// The clocks were set forward on the 29th of March.
	now := time.Date(2026, 3, 30, 10, 20, 30, 400, berlin)
	for text, want := range map[string]string{
		"2026-01-15T12:00:00Z":      "2026-01-15T12:00:00Z",
		"2026-01-15T12:00:00+05:30": "2026-01-15T06:30:00Z",
		"2026-01-15":                "2026-01-14T23:00:00Z",
		"2026-07-15":                "2026-07-14T22:00:00Z",
		"2026-01-15T12:00":          "2026-01-15T11:00:00Z",
		"2026-01-15T12:00:05":       "2026-01-15T11:00:05Z",
		"2026-01-15 12:00":          "2026-01-15T11:00:00Z",
		"2026-01-15 3pm":            "2026-01-15T14:00:00Z",
		"today":                     "2026-03-29T22:00:00Z",
		"yesterday":                 "2026-03-28T23:00:00Z",
		"Yesterday 3:30pm":          "2026-03-29T13:30:00Z",
		"yesterday 09:00":           "2026-03-29T07:00:00Z",
		"today 9am":                 "2026-03-30T07:00:00Z",
		"9am":                       "2026-03-30T07:00:00Z",
		"9AM":                       "2026-03-30T07:00:00Z",
		"12am":                      "2026-03-29T22:00:00Z",
		"10:20":                     "2026-03-30T08:20:00Z",
		"10:20:30":                  "2026-03-30T08:20:30Z",
		"3pm":                       "2026-03-29T13:00:00Z", // later than now, so yesterday's
		"10:21":                     "2026-03-29T08:21:00Z",
		"now":                       "2026-03-30T08:20:30Z",
		"2h":                        "2026-03-30T06:20:30Z",
		"2h ago":                    "2026-03-30T06:20:30Z",
		" 90m ":                     "2026-03-30T06:50:30Z",
		"1h30m":                     "2026-03-30T06:50:30Z",
		"45s":                       "2026-03-30T08:19:45Z",
		"1d":                        "2026-03-29T08:20:30Z",
		"2d":                        "2026-03-28T09:20:30Z", // the same time of day
		"1w":                        "2026-03-23T09:20:30Z",
		"1w1d1h":                    "2026-03-22T08:20:30Z",
	} {
		got, err := parseWhen(text, now)
		require.NoError(t, err, text)
		require.Equal(t, want, got.UTC().Format(time.RFC3339), text)
	}
	for _, text := range []string{
		"", " ", "tomorrow", "2026-13-01", "2026-02-30", "15.01.2026", "25:00", "3", "13pm", "-2h", "2h30", "2 h", "h", "ago", "now ago now",
		"3pm yesterday", "yesterday 2h", "2026-01-15T", "T12:00", "1y", "9999999h", "2026-01-15T12:00:00X", "\x00",
	} {
		_, err := parseWhen(text, now)
		require.ErrorContains(t, err, "is not a time: give one like", "%q", text)
		require.ErrorContains(t, err, "yesterday or 2h (ago)")
	}
	// A time without a date is never in the future.
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(yesterday |today )?([0-2]?[0-9]:[0-5][0-9]|1?[0-9](am|pm))|([1-9][0-9]{0,3}[smhdw]){1,3}`).Draw(t, "text")
		at, err := parseWhen(text, now)
		if err == nil && !strings.HasPrefix(text, "today") {
			require.False(t, at.After(now), "%s: %v", text, at)
		}
	})
}

// The flags accept such times, and the API gets them in RFC 3339.
func TestTimesOfCommands(t *testing.T) {
	t.Parallel()
	asked := make(chan url.Values, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"deliveries":[],"next_cursor":null}`))
	}))
	t.Cleanup(server.Close)
	before := time.Now()
	r := command(t, "", "webhooks", "deliveries", "hook_1", "--url="+server.URL, "--since=2h", "--until=now")
	require.NoError(t, r.failed)
	query := <-asked
	since, err := time.Parse(time.RFC3339, query.Get("since"))
	require.NoError(t, err)
	until, err := time.Parse(time.RFC3339, query.Get("until"))
	require.NoError(t, err)
	require.WithinRange(t, until, before.Add(-time.Second), time.Now())
	require.WithinDuration(t, until.Add(-2*time.Hour), since, time.Minute)

	r = command(t, "", "webhooks", "deliveries", "hook_1", "--url="+server.URL)
	require.NoError(t, r.failed)
	require.Empty(t, (<-asked).Get("since"))

	for _, line := range []string{"webhooks deliveries hook_1 --since=soon", "webhooks replay hook_1 --since=soon", "webhooks replay hook_1 --since=1h --until=soon"} {
		r = command(t, "", strings.Fields(line)...)
		require.Equal(t, 2, r.code(), line)
		require.ErrorContains(t, r.failed, `"soon" is not a time: give one like 2026-01-15T12:00:00Z`)
	}
}
