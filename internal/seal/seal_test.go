package seal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/seal"
)

// key is a key of 32 times the byte, as the configuration gives it.
func key(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, seal.KeySize))
}

func setup(t *testing.T, keys string) *seal.Box {
	t.Helper()
	box, err := seal.New(keys)
	require.NoError(t, err)
	return box
}

// Law: what is sealed is opened, for its owner only, and looks different each time.
func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	box := setup(t, key(1))
	value := rapid.SliceOfN(rapid.Byte(), 0, 300)
	rapid.Check(t, func(t *rapid.T) {
		plain, owner, stranger := value.Draw(t, "plain"), value.Draw(t, "owner"), value.Draw(t, "stranger")
		sealed := box.Seal(plain, owner)
		opened, err := box.Open(sealed, owner)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, opened))
		require.NotEqual(t, sealed, box.Seal(plain, owner), "a nonce is used once")
		if len(plain) >= 8 {
			require.False(t, bytes.Contains(sealed, plain))
		}
		if !bytes.Equal(owner, stranger) {
			_, err = box.Open(sealed, stranger)
			require.ErrorContains(t, err, "belongs to something else")
		}
	})
}

// Spec 7: several keys at once, so that they can be rotated: the old one still
// reads, the new one writes.
func TestRotation(t *testing.T) {
	t.Parallel()
	before, during, after := setup(t, key(1)), setup(t, key(2)+", "+key(1)), setup(t, key(2))
	owner := []byte("hook_1")
	old := before.Seal([]byte("geheim"), owner)
	fresh := during.Seal([]byte("geheim"), owner)

	for _, sealed := range [][]byte{old, fresh} {
		opened, err := during.Open(sealed, owner)
		require.NoError(t, err)
		require.Equal(t, "geheim", string(opened))
	}
	opened, err := after.Open(fresh, owner)
	require.NoError(t, err, "the first key seals")
	require.Equal(t, "geheim", string(opened))
	_, err = before.Open(fresh, owner)
	require.ErrorContains(t, err, "not configured")
	_, err = after.Open(old, owner)
	require.ErrorContains(t, err, "not configured")
	sum := sha256.Sum256(bytes.Repeat([]byte{1}, seal.KeySize))
	require.ErrorContains(t, err, hex.EncodeToString(sum[:4]), "it says which key is missing, as an operator can work out of the keys")

	for _, box := range []*seal.Box{during, after} {
		require.True(t, box.Current(fresh))
		require.False(t, box.Current(old), "another key's, configured or not")
		for _, sealed := range [][]byte{nil, fresh[:16], append([]byte{2}, fresh[1:]...)} {
			require.False(t, box.Current(sealed), "not in a known form")
		}
	}
}

func TestOpenRefusesEveryChange(t *testing.T) {
	t.Parallel()
	box := setup(t, key(1)+","+key(2))
	owner := []byte("hook_1")
	sealed := box.Seal([]byte("geheim"), owner)
	for i := range sealed {
		for _, flip := range []byte{1, 0x80, 0xff} {
			changed := bytes.Clone(sealed)
			changed[i] ^= flip
			opened, err := box.Open(changed, owner)
			require.Error(t, err, "byte %d", i)
			require.Nil(t, opened)
			require.NotContains(t, err.Error(), "geheim")
		}
	}
	for n := range sealed {
		_, err := box.Open(sealed[:n], owner)
		require.Error(t, err, "the first %d bytes", n)
	}
	_, err := box.Open(append(bytes.Clone(sealed), 0), owner)
	require.Error(t, err)
	_, err = box.Open(nil, owner)
	require.Error(t, err)
	// The other key's mark on it does not make it the other key's.
	swapped := bytes.Clone(sealed)
	copy(swapped[1:5], setup(t, key(2)).Seal(nil, nil)[1:5])
	_, err = box.Open(swapped, owner)
	require.Error(t, err)

	_, err = box.Open(sealed, owner)
	require.NoError(t, err, "the original is as it was")
}

// Spec 7: a key never appears in an error text, nor a part of it.
func TestNewRefusesWhatIsNoKey(t *testing.T) {
	t.Parallel()
	raw := strings.Repeat("geheim", 6)[:seal.KeySize]
	good := base64.StdEncoding.EncodeToString([]byte(raw))
	for name, keys := range map[string]string{
		"empty":             "",
		"spaces":            "  ",
		"comma after":       good + ",",
		"comma before":      "," + good,
		"not base64":        "geheim!" + good[7:],
		"31 bytes":          base64.StdEncoding.EncodeToString([]byte(raw[1:])),
		"33 bytes":          base64.StdEncoding.EncodeToString([]byte(raw + "x")),
		"16 bytes":          base64.StdEncoding.EncodeToString([]byte(raw[:16])),
		"hex":               strings.Repeat("ab", seal.KeySize),
		"no padding":        strings.TrimRight(good, "="),
		"second is broken":  good + "," + good[1:],
		"semicolon between": good + ";" + good,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box, err := seal.New(keys)
			require.ErrorIs(t, err, seal.ErrKeys)
			require.Nil(t, box)
			require.NotContains(t, err.Error(), "geheim")
			require.NotContains(t, err.Error(), good[1:12])
		})
	}
	_, err := seal.New(good + "," + good[1:])
	require.ErrorContains(t, err, "key 2", "it says which")
	setup(t, " "+good+" , "+key(1)+"\n")
}
