//go:build unix

package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestURLsParse(t *testing.T) {
	t.Parallel()
	s := &Server{run: &runDir{path: "/tmp/dir with space"}}
	conf, err := pgx.ParseConfig(s.URL("db"))
	require.NoError(t, err)
	require.Equal(t, "/tmp/dir with space", conf.Host)
	require.Equal(t, "db", conf.Database)
	s.port = 1234
	conf, err = pgx.ParseConfig(s.URL("db"))
	require.NoError(t, err)
	require.Equal(t, loopback, conf.Host)
	require.EqualValues(t, 1234, conf.Port)
}
