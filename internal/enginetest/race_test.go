package enginetest_test

import (
	"flag"
	"net/url"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
	"grapnel/storage/pgtemplate"
)

// checks is the number of sequences with GRAPNEL_TEST_LONG, shortChecks the number without; -rapid.checks overrides both. One
// takes one to three seconds. For more of them: go test ./internal/enginetest -rapid.checks=2000 -timeout 2h. A
// sequence that fails is shown in its shortest form, with times; the same seed draws the same sequence again.
const checks, shortChecks = "15", "1"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		n := shortChecks
		if longtest.On() {
			n = checks
		}
		if err := flag.Set("rapid.checks", n); err != nil {
			os.Exit(2)
		}
	}
	goleak.VerifyTestMain(pgtest.Main{M: m, Template: pgtemplate.Whole()})
}

// Every accepted delivery ends, no forbidden request is made, and the log equals the requests that were made,
// whatever fails and in any order (docs/architecture.md).
func TestRace(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	address := database(t)
	// The ids of a process only grow, so a sequence begins after the end of the previous one.
	var passed time.Duration
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, func() {
			time.Sleep(passed) //nolint:forbidigo // skipped time
			begin := time.Now()
			defer func() { passed += time.Since(begin) }()
			race(rt, address)
		})
	})
}

// race runs one sequence.
func race(t *rapid.T, address string) {
	processes := rapid.IntRange(1, 3).Draw(t, "processes")
	regular := rapid.SampledFrom([]int{0, 0, 0, 1, processes}).Draw(t, "regular")
	w := newWorld(t, address, plan{processes, regular, processMemory, rapid.Uint64().Draw(t, "seed")})
	defer w.close()
	w.subscribe()
	t.Repeat(w.actions())
	w.settle()
}

// database returns a migrated database with skipped time.
func database(t *testing.T) string {
	t.Helper()
	address := pgtest.New(t, pgtemplate.Whole())
	require.NoError(t, prepare(t.Context(), address))
	u, err := url.Parse(address)
	require.NoError(t, err)
	q := u.Query()
	q.Set("search_path", "public,pg_catalog")
	q.Set("synchronous_commit", "off")
	q.Set("pool_max_conns", "6")
	// Otherwise connections would be reopened all the time as days pass.
	q.Set("pool_health_check_period", "87600h")
	q.Set("pool_max_conn_lifetime", "87600h")
	q.Set("pool_max_conn_idle_time", "87600h")
	u.RawQuery = q.Encode()
	return u.String()
}

// inBubble runs f in a bubble. If rapid ends the sequence with a panic, inBubble passes it on.
func inBubble(t *testing.T, f func()) {
	t.Helper()
	var ended any
	synctest.Test(t, func(*testing.T) {
		defer func() { ended = recover() }()
		f()
	})
	if ended != nil {
		panic(ended)
	}
}
