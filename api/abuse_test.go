package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
)

// nested returns a JSON array nested depth deep.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// Spec 2.2, S9: an event that is nested too deep is refused for its depth, however deep it is, and the other events of
// its batch are accepted.
func TestDeepJSON(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	const good = `{"type":"user.created","data":1}`
	for _, depth := range []int{101, 9_999, 10_000, 10_001, 30_000} {
		deep := `{"type":"user.created","data":` + nested(depth) + `}`
		p := f.post(t, "/v1/events", deep).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.Contains(t, p.Detail, "deep", depth)
		require.True(t, strings.HasPrefix(p.Errors[0].Location, "body/data/0/0"), "%+v", p.Errors)

		a := f.post(t, "/v1/events/batch", `{"events":[`+good+`,`+deep+`,{"type":"user.created","data":{"a":"]}\"\\","b":`+nested(100)+`}},`+deep+`,`+good+`]}`)
		results := objects(t, a.object(t, http.StatusAccepted)["results"])
		var statuses []any
		for _, r := range results {
			statuses = append(statuses, r["status"])
		}
		require.Equal(t, []any{202.0, 422.0, 422.0, 422.0, 202.0}, statuses, "depth %d: %s", depth, a.body)
		at := objects(t, results[3]["error"].(map[string]any)["errors"])[0]["location"].(string)
		require.True(t, strings.HasPrefix(at, "body.events[3]/data/0/0"), at)

		for path, body := range map[string]string{
			"/v1/webhooks":                      `{"url":` + nested(depth) + `}`,
			"/v1/webhooks/" + webhook + "/test": deep,
			"/v1/api-keys":                      `{"name":` + nested(depth) + `}`,
			"/events":                           `{"topic":"A","data":` + nested(depth) + `}`,
			"/webhooks":                         `{"url":"https://yourapp.com/","topics":` + nested(depth) + `}`,
		} {
			a := f.post(t, path, body)
			require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, a.status, path)
			require.Contains(t, string(a.body), "deep", path)
		}
	}
	// A text that is not JSON is refused as such, however deep it is.
	for _, broken := range []string{strings.Repeat("[", 20_000), nested(20_000) + "]", strings.Repeat(`{"a":`, 20_000) + strings.Repeat("]", 20_000), `"` + nested(20_000)} {
		f.post(t, "/v1/events/batch", `{"events":[`+good+`,{"type":"user.created","data":`+broken+`}]}`).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	}
}

// Spec 7: the answer to a request with many small mistakes is not many times as large.
func TestAnswersToManyMistakes(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	members := make([]string, 5000)
	for i := range members {
		members[i] = fmt.Sprintf("%q:0", fmt.Sprint("m", i))
	}
	for _, a := range []answer{
		f.get(t, "/v1/webhooks?"+query(5000)),
		f.post(t, "/v1/webhooks", `{`+strings.Join(members, ",")+`}`),
		f.post(t, "/v1/webhooks", `{"url":"x","events":[`+strings.TrimSuffix(strings.Repeat("0,", 20_000), ",")+`]}`),
		f.post(t, "/v1/api-keys", `{"name":"a","scopes":[`+strings.TrimSuffix(strings.Repeat("0,", 20_000), ",")+`]}`),
		f.post(t, "/webhooks", `{"url":"x","topics":[`+strings.TrimSuffix(strings.Repeat("0,", 20_000), ",")+`]}`),
	} {
		require.NotEmpty(t, a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").Errors)
		require.Less(t, len(a.body), 32<<10, a.request[:min(len(a.request), 60)])
	}
}

// query has that many parameters.
func query(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("p%d=", i) + "1"
	}
	return strings.Join(names, "&")
}
