package stack

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Two processes of one role must share neither an address nor a log.
func TestChildProcessesOfOneRoleDiffer(t *testing.T) {
	t.Parallel()
	s := &Stack{Options: &Options{}}
	s.APIAddr = "127.0.0.1:1"
	first := &ChildProcess{Stack: s, Role: RoleAPI}
	second := &ChildProcess{Stack: s, Role: RoleAPI, Suffix: "2", APIAddr: "127.0.0.1:2"}
	require.Equal(t, "api", first.Name())
	require.Equal(t, "api2", second.Name())
	require.Contains(t, first.arguments(), "--api-addr=127.0.0.1:1")
	require.Contains(t, second.arguments(), "--api-addr=127.0.0.1:2")
}
