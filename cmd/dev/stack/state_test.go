package stack

import (
	"encoding/base32"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func open(t *testing.T, dir string, fresh bool) *state {
	t.Helper()
	s, err := openState(dir, fresh)
	require.NoError(t, err)
	return s
}

func TestStateKeepsSecrets(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir, false)
	first := s.Secrets
	require.NoError(t, s.Close())
	info, err := os.Stat(s.Path("secrets.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	s = open(t, dir, false)
	require.Equal(t, first, s.Secrets)
	require.NoError(t, s.Close())

	require.NoError(t, os.WriteFile(s.Path("junk"), nil, 0o600))
	s = open(t, dir, true)
	require.NotEqual(t, first, s.Secrets)
	require.NoFileExists(t, s.Path("junk"))
	require.NoError(t, s.Close())
}

func TestSecretsAreWellFormed(t *testing.T) {
	t.Parallel()
	s := NewCredentials()
	for _, text := range []string{strings.TrimPrefix(s.Receiver, "whsec_"), s.Encryption} {
		key, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		require.Len(t, key, 32)
	}
	require.Regexp(t, `^gk_[a-z2-7]{52}$`, s.Admin)
	_, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(s.Admin[3:]))
	require.NoError(t, err)
}

func TestDamagedSecretsAreReported(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "{}", `{"receiver":"x"}`} {
		file := filepath.Join(t.TempDir(), "secrets.json")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := LoadCredentials(file)
		require.ErrorContains(t, err, file)
	}
}

func TestStateIsLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, false)
	for _, fresh := range []bool{false, true} {
		_, err := openState(dir, fresh)
		require.ErrorIs(t, err, errLocked)
		require.ErrorContains(t, err, dataDirFlag)
	}
	require.FileExists(t, s.Path("secrets.json"), "a refused --fresh removes nothing")
	require.NoError(t, s.Close())
	require.NoError(t, open(t, dir, false).Close())
}

func TestStateRefusesOtherDirectories(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"thesis.txt": "", markerFile: "something else"} {
		dir := t.TempDir()
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		for _, fresh := range []bool{false, true} {
			_, err := openState(dir, fresh)
			require.ErrorContains(t, err, "was not made by this program")
			require.FileExists(t, file)
		}
	}
}

func TestDefaultDataDir(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	dir, err := defaultDataDir()
	require.NoError(t, err)
	require.Equal(t, "grapnel-dev", filepath.Base(dir))
	require.True(t, strings.HasPrefix(dir, home), dir)
}
