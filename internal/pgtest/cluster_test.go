//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
)

func TestClustersShareATemplate(t *testing.T) {
	t.Parallel()
	admin, err := shared.url(t.Context())
	require.NoError(t, err)
	var calls atomic.Int32
	tmpl := Template{Key: rand.Text(), Migrate: func(ctx context.Context, url string) error {
		calls.Add(1)
		return execute(ctx, url, "CREATE TABLE things ()")
	}}
	dropAtEnd(t, admin, tmpl.database())
	// Each cluster stands for one test process on the same external server.
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			c := clusterOn(admin)
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
	admin, err := shared.url(t.Context())
	require.NoError(t, err)
	c, key := clusterOn(admin), rand.Text()
	broken := errors.New("broken")
	fail := func(context.Context, string) error { return broken }
	_, err = c.clone(t.Context(), Template{Key: key, Migrate: fail})
	require.ErrorIs(t, err, broken)

	succeed := func(ctx context.Context, url string) error { return execute(ctx, url, "CREATE TABLE things ()") }
	tmpl := Template{Key: key, Migrate: succeed}
	dropAtEnd(t, admin, tmpl.database())
	address, err := c.clone(t.Context(), tmpl)
	require.NoError(t, err)
	require.NoError(t, errors.Join(execute(t.Context(), address, "TABLE things"), c.drop(t.Context(), address)))
}

// dropAtEnd drops a database at the end of the test: the server may be the environment's.
func dropAtEnd(t *testing.T, admin, database string) {
	t.Helper()
	t.Cleanup(func() {
		require.NoError(t, execute(context.WithoutCancel(t.Context()), admin, "DROP DATABASE IF EXISTS "+database))
	})
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
