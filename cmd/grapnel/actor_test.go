package main

import (
	"os/user"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// K11: every command that changes something in the database leaves an entry, with the user of the operating system.
func TestCommandsAreLogged(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	at, key := "--database-url="+url, "--encryption-key="+keyOf(1)
	db, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close(t.Context())) })
	id := strings.Fields(succeed(t, "keys", "create", at, "--name=one", "--scopes=read"))[0]
	var logged []string
	me, err := user.Current()
	require.NoError(t, err)
	for command, c := range map[string]struct {
		args    []string
		actions []string
	}{
		"keys create":         {[]string{at, "--name=two", "--scopes=read"}, []string{"api_key.created"}},
		"keys list":           {[]string{at}, nil},
		"keys revoke":         {[]string{at, id}, []string{"api_key.revoked"}},
		"tenants create":      {[]string{at, "acme"}, []string{"tenant.created", "api_key.created"}},
		"tenants list":        {[]string{at}, nil},
		"secrets reencrypt":   {[]string{at, key}, []string{"secrets.reencrypted"}},
		"signing-keys list":   {[]string{at}, nil},
		"signing-keys rotate": {[]string{at, key}, []string{"signing_key.rotated"}},
	} {
		_, err := db.Exec(t.Context(), `delete from audit_log`)
		require.NoError(t, err)
		succeed(t, append(strings.Fields(command), c.args...)...)
		rows, _ := db.Query(t.Context(), `select actor_kind || ' ' || actor_id || ' ' || actor_name || ' ' || address || ' ' || action from audit_log order by id`)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		var want []string
		for _, action := range c.actions {
			want = append(want, string(hook.ActorCLI)+" "+me.Username+" "+me.Username+"  "+action)
		}
		require.ElementsMatch(t, want, found, command)
		logged = append(logged, command)
	}
	// No command on the server is left out.
	var c commands
	parser, err := kong.New(&c)
	require.NoError(t, err)
	for _, leaf := range parser.Model.Leaves(false) {
		name := strings.TrimPrefix(leaf.FullPath(), parser.Model.Name+" ")
		if group, _, _ := strings.Cut(name, " "); slices.Contains([]string{"keys", "tenants", "secrets", "signing-keys"}, group) {
			// These go through the API, which logs them.
			if slices.Contains([]string{"tenants get", "tenants put", "tenants suspend", "tenants resume", "tenants delete", "tenants usage"}, name) {
				continue
			}
			require.Contains(t, logged, name, "a command of the server: say what it leaves in the audit log")
		}
	}
}
