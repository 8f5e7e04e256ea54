package cli

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// find shows what an id names and whose it is; an id of nothing is not found.
func TestFind(t *testing.T) {
	t.Parallel()
	const answer = `{"items":[{"kind":"delivery","id":"del_1","tenant_id":"ten_1"}]}`
	flag, last := asked(t, answer)
	r := command(t, "", "find", "del_1", flag)
	require.NoError(t, r.failed)
	require.Equal(t, "/v1/find", last.Path)
	require.Equal(t, url.Values{"id": {"del_1"}}, last.Query())
	require.Equal(t, "KIND      ID     TENANT\ndelivery  del_1  ten_1\n", r.out)
	r = command(t, "", "find", "--json", "del_1", flag)
	require.NoError(t, r.failed)
	require.JSONEq(t, answer, r.out)

	flag, _ = asked(t, `{"items":[]}`)
	r = command(t, "", "find", "del_1\x1b", flag)
	require.ErrorContains(t, r.failed, "nothing with the id del_1· was found")
	require.Equal(t, codeNotFound, ExitCode(r.failed))
	require.Empty(t, r.out)
	require.Error(t, command(t, "", "find", flag).failed)
}
