package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompletion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                           "audit completion deliveries event-types events find listen portal replay replays tenants usage verify webhooks",
		"we":                         "webhooks",
		"event-types ":               "delete get list put",
		"event-types list --group=":  "",
		"event-types put --dep":      "--deprecated",
		"webhooks ":                  "create delete deliveries get list replay test update",
		"webhooks de":                "delete deliveries",
		"webhooks list --pro":        "--profile",
		"webhooks list --profile ":   "commenda momento standard",
		"webhooks list --profile mo": "momento",
		"webhooks list --profile=st": "--profile=standard",
		"webhooks --url http://x li": "list",
		"webhooks list --json --act": "--active",
		"webhooks get hook":          "",
		"listen --profile ":          "commenda standard",
		"listen --profile = co":      "commenda",
		"listen --profile =":         "commenda standard",
		"nothing like that":          "",
		"portal ":                    "create list revoke",
		"portal create --theme ":     "dark light system",
		"completion ":                "bash fish zsh",
	} {
		r := command(t, "", append([]string{"completion", "words", "--"}, strings.Split(line, " ")...)...)
		require.NoError(t, r.failed, line)
		require.Equal(t, want, strings.Join(strings.Fields(r.out), " "), line)
	}
}

// A real bash runs the script. It calls a program that prints its arguments.
func TestBashCompletes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "grapnel"), []byte("#!/bin/sh\nfor word in \"$@\"; do echo \"$word\"; done\n"), 0o700))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command(t, "", "completion", "bash").out+`
		COMP_WORDS=(`+filepath.Join(dir, "grapnel")+` webhooks "li") COMP_CWORD=2
		_grapnel "${COMP_WORDS[0]}"
		echo "${COMPREPLY[@]}"`)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "completion words -- webhooks li\n", string(out))
	for _, shell := range []string{"zsh", "fish"} {
		require.Contains(t, command(t, "", "completion", shell).out, "completion words --")
	}
}
