package stack

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"grapnel/internal/postgres"
)

// soon bounds every wait in these tests.
const soon = 20 * time.Second

// quietLogger returns a logger that discards everything.
func quietLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// startPostgres starts a durable server, as the stack does.
func startPostgres(t *testing.T) *postgres.Server {
	t.Helper()
	s, err := postgres.Start(t.Context(), postgres.Options{
		DataDir:        filepath.Join(t.TempDir(), "postgres"),
		Port:           postgres.AnyPort,
		Durable:        true,
		MaxConnections: TemporalConns + 20,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.WithoutCancel(t.Context()))) })
	return s
}

// The server starts on an empty PostgreSQL, and again on the databases of the first start.
func TestTemporal(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	db := startPostgres(t)
	t.Logf("PostgreSQL ready after %s", time.Since(begin))
	for _, start := range []string{"first", "second"} {
		goroutines := runtime.NumGoroutine()
		s, err := startTemporal(t.Context(), temporalOptions{
			Addr: Loopback + ":0", DatabaseURL: db.URL("postgres"), Logger: quietLogger(),
		})
		require.NoError(t, err)
		t.Logf("%s start: the namespace answered after %s, with %d connections to PostgreSQL",
			start, s.Ready, connections(t, db))
		checkTemporal(t, s.Addr)

		begin := time.Now()
		require.NoError(t, s.Stop())
		t.Logf("stopped after %s, leaving %d goroutines", time.Since(begin), runtime.NumGoroutine()-goroutines)
		l, err := Listen(t.Context(), temporalFlag, s.Addr)
		require.NoError(t, err, "the port is free again")
		require.NoError(t, l.Close())
		require.Eventually(t, func() bool { return connections(t, db) == 0 }, soon, 50*time.Millisecond)
	}
}

// connections counts Temporal's connections.
func connections(t *testing.T, db *postgres.Server) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.URL("postgres"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	var n int
	const query = "SELECT count(*) FROM pg_stat_activity WHERE datname IN ($1, $2)"
	require.NoError(t, conn.QueryRow(t.Context(), query, TemporalDatabase, VisibilityDatabase).Scan(&n))
	return n
}

// checkTemporal registers a search attribute, runs a workflow that has it, and finds the workflow by it.
func checkTemporal(t *testing.T, addr string) {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: addr, Logger: sdklog.NewStructuredLogger(quietLogger())})
	require.NoError(t, err)
	defer c.Close()
	ns, err := c.WorkflowService().DescribeNamespace(t.Context(),
		&workflowservice.DescribeNamespaceRequest{Namespace: TemporalNamespace})
	require.NoError(t, err)
	require.Equal(t, temporalRetention, ns.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())
	const attribute = "EventId"
	_, err = c.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace:        TemporalNamespace,
		SearchAttributes: map[string]enumspb.IndexedValueType{attribute: enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST},
	})
	require.NoError(t, err)

	w := worker.New(c, "test", worker.Options{})
	w.RegisterWorkflowWithOptions(
		func(workflow.Context) (string, error) { return "done", nil },
		workflow.RegisterOptions{Name: "Test"})
	require.NoError(t, w.Start())
	defer w.Stop()
	id := "wf-" + time.Now().Format(time.RFC3339Nano)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: "test",
		TypedSearchAttributes: temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeywordList(attribute).ValueSet([]string{id})),
	}, "Test")
	require.NoError(t, err)
	var result string
	require.NoError(t, run.Get(t.Context(), &result))
	require.Equal(t, "done", result)
	require.Eventually(t, func() bool {
		found, err := c.CountWorkflow(t.Context(),
			&workflowservice.CountWorkflowExecutionsRequest{Query: attribute + ` = "` + id + `"`})
		return err == nil && found.GetCount() == 1
	}, soon, 20*time.Millisecond)
}

func TestTemporalBusyPort(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", Loopback+":0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, err = temporalPorts(t.Context(), l.Addr().String())
	var busy *portError
	require.ErrorAs(t, err, &busy)
	require.Equal(t, temporalFlag, busy.Flag)
}

func TestParseTemporalStore(t *testing.T) {
	t.Parallel()
	s, err := parseTemporalStore("postgres://u:p%20w@h:5433/any?sslmode=disable")
	require.NoError(t, err)
	require.Equal(t, temporalStore{
		addr: "h:5433", user: "u", password: "p w", attributes: map[string]string{"sslmode": "disable"},
	}, s)
	require.Equal(t, "off", s.visibilitySQL().ConnectAttributes["synchronous_commit"])
	require.NotContains(t, s.sql(TemporalDatabase, 1).ConnectAttributes, "synchronous_commit")

	_, err = parseTemporalStore("host=h user=u password=secret")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

// The schemas can be set up twice, over a Unix socket.
func TestSchemasOverASocket(t *testing.T) {
	t.Parallel()
	db, err := postgres.Start(t.Context(), postgres.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Stop(context.WithoutCancel(t.Context()))) })
	store, err := parseTemporalStore(db.URL("postgres"))
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, setUpSchemas(t.Context(), db.URL("postgres"), store, &temporalLogger{slog: quietLogger()}))
	}
	require.NoError(t, OnDatabase(t.Context(), db.URL(VisibilityDatabase), func(conn *pgx.Conn) error {
		var indexes int
		err := conn.QueryRow(t.Context(), `select count(*) from pg_index where indrelid = 'executions_visibility'::regclass`).Scan(&indexes)
		require.Equal(t, 11, indexes, "the primary key and those that deploy/temporal keeps")
		return err
	}))
}

// An interrupted set-up starts over, because it cannot continue from a half-made schema. A finished database is not
// touched.
func TestHalfMadeSchemasAreMadeAnew(t *testing.T) {
	t.Parallel()
	db, err := postgres.Start(t.Context(), postgres.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Stop(context.WithoutCancel(t.Context()))) })
	store, err := parseTemporalStore(db.URL("postgres"))
	require.NoError(t, err)
	logger := &temporalLogger{slog: quietLogger()}
	exec := func(database, sql string) {
		require.NoError(t, OnDatabase(t.Context(), db.URL(database), func(conn *pgx.Conn) error {
			_, err := conn.Exec(t.Context(), sql)
			return err
		}))
	}
	require.NoError(t, setUpSchemas(t.Context(), db.URL("postgres"), store, logger))
	exec(TemporalDatabase, `create table witness ()`)
	// The state after a kill between two statements of an update.
	exec(VisibilityDatabase, `update schema_version set curr_version = '1.1'`)
	require.Error(t, setUpSchemas(t.Context(), db.URL("postgres"), store, logger))
	exec("postgres", `comment on database `+VisibilityDatabase+` is '`+halfMade+`'`)
	require.NoError(t, setUpSchemas(t.Context(), db.URL("postgres"), store, logger))
	exec(TemporalDatabase, `drop table witness`)
}
