package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// catalogue answers as the API does with two pages of event types, and gives the bodies that are put.
func catalogue(t *testing.T) (flag string, put <-chan string) {
	t.Helper()
	const own = `{"name":"invoice.paid","description":"Paid","built_in":false,"shared":false,"deprecated":true,"schema":{"maximum":10000000000000000000001}}`
	bodies := make(chan string, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/event-types", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		page := `{"event_types":[{"name":"user.created","description":"New user registered","built_in":true,"shared":true,"deprecated":false},
			{"name":"order.made","description":"","group":"orders","built_in":false,"shared":true,"deprecated":false}],"next_cursor":"next"}`
		if r.URL.Query().Get("cursor") == "next" {
			page = `{"event_types":[` + own + `]}`
		}
		_, _ = io.WriteString(w, page)
	})
	mux.HandleFunc("PUT /v1/event-types/{name}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- r.PathValue("name") + " " + string(body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, own)
	})
	mux.HandleFunc("DELETE /v1/event-types/{name}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return "--url=" + server.URL, bodies
}

// K6: a list says whose each type is.
func TestListEventTypes(t *testing.T) {
	t.Parallel()
	url, _ := catalogue(t)
	r := command(t, "", "event-types", "list", url)
	require.NoError(t, r.failed)
	lines := strings.Split(strings.TrimRight(r.out, "\n"), "\n")
	require.Equal(t, []string{"NAME", "KIND", "GROUP", "SCHEMA", "DESCRIPTION"}, strings.Fields(lines[0]))
	require.Equal(t, []string{"user.created", "built-in", "New", "user", "registered"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"order.made", "shared", "orders"}, strings.Fields(lines[2]))
	require.Contains(t, r.err, "--cursor=next")
	r = command(t, "", "event-types", "list", "--cursor=next", url)
	require.Contains(t, r.out, "own,deprecated")

	r = command(t, "", "event-types", "get", "invoice.paid", url)
	require.NoError(t, r.failed)
	require.Contains(t, r.out, `{"maximum":10000000000000000000001}`, "digit for digit")
	require.Equal(t, codeNotFound, command(t, "", "event-types", "get", "no.such", url).code())
}

// The API removes a schema that is not given. The command keeps it, unless a flag says otherwise.
func TestPutEventTypeKeepsTheSchema(t *testing.T) {
	t.Parallel()
	url, put := catalogue(t)
	file := filepath.Join(t.TempDir(), "schema.json")
	require.NoError(t, os.WriteFile(file, []byte("{\n  \"minimum\": 1.50\n}\n"), 0o600))
	for _, c := range []struct {
		args []string
		in   string
		want string
	}{
		{[]string{"invoice.paid", "--description=x"}, "", `invoice.paid {"description":"x","schema":{"maximum":10000000000000000000001}}`},
		{[]string{"invoice.paid", "--no-schema", "--deprecated=false"}, "", `invoice.paid {"deprecated":false}`},
		{[]string{"no.such", "--group=", "--deprecated=true"}, "", `no.such {"deprecated":true,"group":""}`},
		{[]string{"no.such", "--schema=" + file}, "", `no.such {"schema":{"minimum":1.50}}`},
		{[]string{"no.such", "--schema=-"}, " true\n", `no.such {"schema":true}`},
	} {
		r := command(t, c.in, append([]string{"event-types", "put", url}, c.args...)...)
		require.NoError(t, r.failed, c.args)
		require.Equal(t, c.want, <-put)
		require.Contains(t, r.out, "invoice.paid")
	}
	require.Equal(t, codeWrong, command(t, "{", "event-types", "put", "a", "--schema=-", url).code())
	require.Equal(t, codeWrong, command(t, "", "event-types", "put", "a", "--schema=-", "--no-schema", url).code())
	require.Equal(t, codeWrong, command(t, "", "event-types", "put", "a", "--schema=/nowhere", url).code())
	require.Empty(t, put)
	require.Equal(t, "invoice.paid deleted\n", command(t, "", "event-types", "delete", "invoice.paid", url).out)
}
