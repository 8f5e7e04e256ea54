package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProcessesOfPairs(t *testing.T) {
	t.Parallel()
	ready := map[string]string{"pid_api": "1,2", "pid_worker": "3,4", "pid_temporal": "5", "pid_postgres": "6"}
	processes, layout, err := processesOf(ready)
	require.NoError(t, err)
	require.Contains(t, layout, "two APIs")
	require.Equal(t, []Process{
		{Name: "api 1", PID: 1},
		{Name: "api 2", PID: 2},
		{Name: "worker 1", PID: 3},
		{Name: "worker 2", PID: 4},
		{Name: "temporal", PID: 5},
		{Name: "postgres", PID: 6, Children: true},
	}, processes)
	ready["pid_worker"] = "3,x"
	_, _, err = processesOf(ready)
	require.ErrorContains(t, err, "worker 2")
}
