//go:build unix

package pgtest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
	"grapnel/internal/postgres"
)

// startServer starts a server for the test.
func startServer(t *testing.T, opts postgres.Options) *postgres.Server {
	t.Helper()
	s, err := postgres.Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.WithoutCancel(t.Context()))) })
	return s
}

func TestClustersShareATemplate(t *testing.T) {
	t.Parallel()
	s := startServer(t, postgres.Options{})
	var calls atomic.Int32
	tmpl := Template{Key: "k", Migrate: func(ctx context.Context, url string) error {
		calls.Add(1)
		return execute(ctx, url, "CREATE TABLE things ()")
	}}
	// Each cluster stands for one test process on the same external server.
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			c := clusterOn(s.URL(postgres.Superuser))
			var address string
			if address, errs[i] = c.clone(t.Context(), tmpl); errs[i] != nil {
				return
			}
			errs[i] = errors.Join(execute(t.Context(), address, "TABLE things"), c.drop(t.Context(), address))
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.EqualValues(t, 1, calls.Load())
}

func TestFailedMigrationLeavesNoTemplate(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	s := startServer(t, postgres.Options{})
	c := clusterOn(s.URL(postgres.Superuser))
	broken := errors.New("broken")
	fail := func(context.Context, string) error { return broken }
	_, err := c.clone(t.Context(), Template{Key: "k", Migrate: fail})
	require.ErrorIs(t, err, broken)

	succeed := func(ctx context.Context, url string) error { return execute(ctx, url, "CREATE TABLE things ()") }
	address, err := c.clone(t.Context(), Template{Key: "k", Migrate: succeed})
	require.NoError(t, err)
	require.NoError(t, execute(t.Context(), address, "TABLE things"))
}

func TestClusterUsesTheServerOfTheEnvironment(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://b/db")
	t.Setenv("TEST_DATABASE_URL", "postgres://a/db")
	var c cluster
	address, err := c.url(t.Context())
	require.NoError(t, err)
	require.Equal(t, "postgres://a/db", address)
	require.NoError(t, c.stop(t.Context()))
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	u, err := withDatabase("postgres://u:p@h:1/a?sslmode=disable", "b")
	require.NoError(t, err)
	require.Equal(t, "postgres://u:p@h:1/b?sslmode=disable", u)
	_, err = withDatabase("host=h password=secret", "b")
	require.ErrorContains(t, err, "postgres:// URL")
	require.NotContains(t, err.Error(), "secret")
}

// clusterOn returns a cluster on a running server.
func clusterOn(admin string) *cluster {
	c := &cluster{admin: admin}
	c.once.Do(func() {})
	return c
}
