package bench

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEventBodyHasItsSizeAndNumber(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 7, 123_456} {
		for _, size := range []int{32, 300, 5000} {
			tenant := strings.Repeat("t", n%3)
			body := eventBody("bench.e1", tenant, n, size)
			var event struct {
				Type   string          `json:"type"`
				Tenant string          `json:"tenant"`
				Data   json.RawMessage `json:"data"`
			}
			require.NoError(t, json.Unmarshal(body, &event))
			require.Equal(t, "bench.e1", event.Type)
			require.Equal(t, tenant, event.Tenant)
			require.Len(t, event.Data, size)
			got, ok := eventNumber(body)
			require.True(t, ok)
			require.Equal(t, n, got)
		}
	}
	for _, body := range []string{``, `{"data":{"x":1}}`, `{"data":{"n":"1"}}`} {
		_, ok := eventNumber([]byte(body))
		require.False(t, ok, body)
	}
}

func TestParseStatWithAnyName(t *testing.T) {
	t.Parallel()
	const fields = "S 42 1 1 0 -1 4194560 100 200 0 0 250 50 30 20 20 0 9 0 0"
	for _, name := range []string{"dev", "a b", "x) S 1 (y", ")"} {
		s, err := parseStat("7 (" + name + ") " + fields)
		require.NoError(t, err)
		require.Equal(t, procStat{parent: 42, own: 3 * time.Second, children: 500 * time.Millisecond}, s)
	}
	for _, bad := range []string{"", "7 (dev)", "7 (dev) S 1 2"} {
		_, err := parseStat(bad)
		require.Error(t, err, bad)
	}
}

func TestProcessorTimeOfOurselves(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		used, err := cpuOf([]Process{{Name: "me", PID: os.Getpid()}})
		require.NoError(t, err)
		require.Empty(t, used)
		return
	}
	me := Process{Name: "me", PID: os.Getpid(), Children: true}
	require.Eventually(t, func() bool {
		used, err := cpuOf([]Process{me})
		return err == nil && used["me"] > 0
	}, time.Minute, time.Millisecond)
	peak, err := me.Peak()
	require.NoError(t, err)
	require.Greater(t, peak, 1.0)
	now, err := me.Resident()
	require.NoError(t, err)
	require.Greater(t, now, 1.0)
	require.Empty(t, MemoryOf([]Process{me}), "children share what they have with their parent")
	me.Children = false
	require.Contains(t, MemoryOf([]Process{me, {Name: "gone", PID: -1}}), "me")
}

func TestDatabaseOfATitle(t *testing.T) {
	t.Parallel()
	for title, want := range map[string]string{
		"postgres: postgres grapnel 127.0.0.1(4242) idle\x00":   "grapnel",
		"postgres: postgres temporal [local] idle":              "temporal",
		"postgres: checkpointer \x00":                           "",
		"postgres: autovacuum worker grapnel":                   "",
		"postgres: logical replication launcher":                "",
		"/usr/lib/postgresql/15/bin/postgres -c fsync=on -D /x": "",
		"": "",
	} {
		require.Equal(t, want, databaseOf(title), title)
	}
}

func TestTakenItemsOfABatch(t *testing.T) {
	t.Parallel()
	ok, err := taken([]byte(`{"results":[{"id":"evt_1"},{"error":{"message":"bad"}},{"id":"evt_2","error":"no"},{"event":{"id":"evt_3"}}]}`), 4)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, false, true}, ok)
	for _, answer := range []string{`[]`, `{}`, `{"results":[{}]}`, `no JSON`} {
		_, err := taken([]byte(answer), 4)
		require.Error(t, err, answer)
	}
}
