package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"grapnel/cmd/dev/stack"
)

// hidden holds the values that must not be found, by description.
type hidden struct {
	t      testing.TB
	values map[string]string
}

// add adds a value to search for, and returns it.
func (h *hidden) add(what, value string) string {
	h.t.Helper()
	require.GreaterOrEqual(h.t, len(value), 16, "%s: too short to be found for certain", what)
	h.values[what] = value
	return value
}

// spellings returns the forms in which a value may be stored: plain, in JSON, in a URL, in hexadecimal as
// PostgreSQL prints bytes, and in base64, where the form depends on the bytes before the value.
func spellings(value string) []string {
	quoted, _ := json.Marshal(value) // a string always encodes
	list := []string{
		value, strings.Trim(string(quoted), `"`), url.QueryEscape(value), url.PathEscape(value),
		hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))),
	}
	for shift := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString([]byte(strings.Repeat("x", shift) + value))
			// The first and the last base64 characters also hold bits of the neighbouring bytes, so cut them off.
			list = append(list, text[(shift*8+5)/6:len(text)-1])
		}
	}
	return list
}

// search fails the test for each hidden value in the text, except those whose description begins with one of not.
func (h *hidden) search(where, text string, not ...string) {
	h.t.Helper()
	for what, value := range h.values {
		allowed := false
		for _, prefix := range not {
			allowed = allowed || strings.HasPrefix(what, prefix)
		}
		if allowed {
			continue
		}
		for _, spelling := range spellings(value) {
			if at := strings.Index(text, spelling); at >= 0 {
				h.t.Errorf("%s is in %s: …%s…", what, where, text[max(0, at-150):min(len(text), at+len(spelling)+100)])
				break
			}
		}
	}
}

// logs returns the contents of all log files of a stack, by file name.
func logs(t testing.TB, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	found := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		found[filepath.Base(file)] = string(text)
	}
	return found
}

// dump returns all rows of a database as text, by table.
func dump(t testing.TB, databaseURL string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, stack.OnDatabase(t.Context(), databaseURL, func(conn *pgx.Conn) error {
		rows, _ := conn.Query(t.Context(), `
			select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
			where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')`)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, table := range tables {
			var text string
			if err := conn.QueryRow(t.Context(), `select coalesce(string_agg(t::text, E'\n'), '') from `+table+` t`).Scan(&text); err != nil {
				return err
			}
			found[table] = text
		}
		return nil
	}))
	return found
}

// inDatabase returns the URL of another database on the same server.
func inDatabase(t testing.TB, databaseURL, name string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

// workflowData returns all that Temporal shows of every workflow, by the SDK and as the Web UI gets it: list,
// description with pending activities, and history.
func workflowData(t testing.TB, temporalAddr, ui string) (all string, workflows int) {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: temporalAddr})
	require.NoError(t, err)
	defer c.Close()
	var b strings.Builder
	keep := func(m proto.Message, err error) {
		require.NoError(t, err)
		raw, err := proto.Marshal(m) // contains the payloads unencoded
		require.NoError(t, err)
		b.Write(raw)
		b.WriteByte('\n')
	}
	read := func(path string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ui+path, nil)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(r) //nolint:forbidigo // a test's
		require.NoError(t, err)
		defer response.Body.Close() // the body is read to its end
		require.Equal(t, http.StatusOK, response.StatusCode, path)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		b.Write(text)
		b.WriteByte('\n')
	}
	read("/api/v1/namespaces/default/workflows")
	list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: stack.TemporalNamespace, PageSize: 1000})
	keep(list, err)
	for _, w := range list.GetExecutions() {
		id, run := w.GetExecution().GetWorkflowId(), w.GetExecution().GetRunId()
		keep(c.DescribeWorkflowExecution(t.Context(), id, run))
		events := c.GetWorkflowHistory(t.Context(), id, run, false, 1)
		for events.HasNext() {
			e, err := events.Next()
			keep(e, err)
		}
		read("/api/v1/namespaces/default/workflows/" + id + "/history?execution.runId=" + run)
	}
	return b.String(), len(list.GetExecutions())
}

// spoken is one request to the API and its answer.
type spoken struct {
	what   string
	status int
	// text is the answer: status line, headers and body.
	text string
	// shows is true if the answer may show secrets.
	shows bool
}

// speaker calls the API and keeps all answers.
type speaker struct {
	*apiClient
	heard []spoken
}

// say makes a request; every answer is accepted except a 500.
func (s *speaker) say(method, path string, header http.Header, body string) (int, object) {
	s.t.Helper()
	return s.exchange(method, path, header, body, false)
}

// ask makes one of the few requests whose answer may show a secret.
func (s *speaker) ask(method, path, body string) object {
	s.t.Helper()
	status, out := s.exchange(method, path, nil, body, true)
	require.Less(s.t, status, 300, "%s %s: %v", method, path, out)
	return out
}

func (s *speaker) exchange(method, path string, header http.Header, body string, shows bool) (int, object) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(s.t.Context()), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+s.key)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := s.transport.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close() // the body is read to its end
	answer, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.NotEqual(s.t, http.StatusInternalServerError, response.StatusCode, "%s %s: %s", method, path, answer)
	var headers strings.Builder
	_ = response.Header.Write(&headers) // never fails
	s.heard = append(s.heard, spoken{method + " " + path, response.StatusCode, response.Status + "\n" + headers.String() + "\n" + string(answer), shows})
	var out object
	_ = json.Unmarshal(answer, &out) // not every answer is an object
	return response.StatusCode, out
}

// refuseConnections makes PostgreSQL refuse new connections to the database, and ends the existing ones.
func refuseConnections(ctx context.Context, databaseURL string) error {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	return stack.OnDatabase(ctx, u.String(), func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `alter database `+pgx.Identifier{name}.Sanitize()+` allow_connections false`); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1`, name)
		return err
	})
}
