package crash_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/crash"
)

// SetClock moves the clock of a running Go process ahead and back, and does not affect its timers.
func TestSetClock(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), clockEnv+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	lines := bufio.NewScanner(out)
	ask := func() (ahead time.Duration, monotonic int64) {
		_, err := fmt.Fprintln(in)
		require.NoError(t, err)
		require.True(t, lines.Scan())
		var seconds int64
		_, err = fmt.Sscan(lines.Text(), &seconds, &monotonic)
		require.NoError(t, err)
		return time.Until(time.Unix(seconds, 0)), monotonic
	}
	// Start returns while the kernel still replaces the process's image, before it maps the vDSO. Once the process
	// answers, the vDSO is there.
	ask()
	for _, offset := range []time.Duration{0, 48 * time.Hour, -time.Hour, 0} {
		require.NoError(t, crash.SetClock(cmd.Process.Pid, offset))
		ahead, monotonic := ask()
		require.InDelta(t, offset.Seconds(), ahead.Seconds(), 3)
		require.Less(t, monotonic, int64(60_000))
		require.GreaterOrEqual(t, monotonic, int64(0))
	}
}
