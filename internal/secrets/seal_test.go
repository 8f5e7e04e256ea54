package secrets_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/secrets"
)

// key returns a key of 32 equal bytes, in the format of the configuration.
func key(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, secrets.KeySize))
}

func setup(t *testing.T, keys string) *secrets.Box {
	t.Helper()
	box, err := secrets.New(keys)
	require.NoError(t, err)
	return box
}

// of returns the place of an owner's value.
func of(owner string) secrets.Place {
	return secrets.Place{Table: "webhooks", Column: "secret", Tenant: [16]byte{1}, ID: []byte(owner), Owner: []byte(owner)}
}

func forms() []secrets.Form { return []secrets.Form{secrets.FormOwner, secrets.FormPlace} }

// A sealed value opens for its owner only, and every sealing gives different bytes.
func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	box := setup(t, key(1))
	value := rapid.SliceOfN(rapid.Byte(), 0, 300)
	rapid.Check(t, func(t *rapid.T) {
		plain, owner, stranger := value.Draw(t, "plain"), of(string(value.Draw(t, "owner"))), of(string(value.Draw(t, "stranger")))
		form := rapid.SampledFrom(forms()).Draw(t, "form")
		sealed := box.Seal(plain, owner, form)
		opened, err := box.Open(sealed, owner)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, opened))
		require.NotEqual(t, sealed, box.Seal(plain, owner, form), "a nonce is used once")
		if len(plain) >= 8 {
			require.False(t, bytes.Contains(sealed, plain))
		}
		if !bytes.Equal(owner.Owner, stranger.Owner) {
			_, err = box.Open(sealed, stranger)
			require.ErrorContains(t, err, "belongs to something else")
		}
	})
}

// Spec 7: several keys at once, so that they can be rotated: the old key still
// opens, the new key seals.
func TestRotation(t *testing.T) {
	t.Parallel()
	before, during, after := setup(t, key(1)), setup(t, key(2)+", "+key(1)), setup(t, key(2))
	owner := of("hook_1")
	old := before.Seal([]byte("geheim"), owner, secrets.FormPlace)
	fresh := during.Seal([]byte("geheim"), owner, secrets.FormPlace)

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
	sum := sha256.Sum256(bytes.Repeat([]byte{1}, secrets.KeySize))
	require.ErrorContains(t, err, hex.EncodeToString(sum[:4]), "it says which key is missing, as an operator can work out of the keys")

	for _, box := range []*secrets.Box{during, after} {
		require.True(t, box.Current(fresh, secrets.FormPlace))
		require.False(t, box.Current(fresh, secrets.FormOwner))
		require.False(t, box.Current(old, secrets.FormPlace), "another key's, configured or not")
		for _, sealed := range [][]byte{nil, fresh[:16], append([]byte{1}, fresh[1:]...), append([]byte{3}, fresh[1:]...)} {
			require.False(t, box.Current(sealed, secrets.FormPlace), "not in this form")
		}
	}
}

// A value opens in its own place only: somebody who can write to the tables cannot have it
// shown in place of another value, or to another tenant.
func TestPlacesAreApart(t *testing.T) {
	t.Parallel()
	box := setup(t, key(1))
	at := func(change func(*secrets.Place)) secrets.Place {
		p := of("hook_1")
		change(&p)
		return p
	}
	own := at(func(*secrets.Place) {})
	sealed, before := box.Seal([]byte("geheim"), own, secrets.FormPlace), box.Seal([]byte("geheim"), own, secrets.FormOwner)
	for name, place := range map[string]secrets.Place{
		"another table":  at(func(p *secrets.Place) { p.Table = "signing_keys" }),
		"another column": at(func(p *secrets.Place) { p.Column = "headers" }),
		"another tenant": at(func(p *secrets.Place) { p.Tenant[0]++ }),
		"another row":    at(func(p *secrets.Place) { p.ID = []byte("hook_2") }),
		"shifted":        at(func(p *secrets.Place) { p.Table, p.Column = "webhookss", "ecret" }),
	} {
		_, err := box.Open(sealed, place)
		require.ErrorContains(t, err, "belongs to something else", name)
		_, err = box.Open(before, place)
		require.NoError(t, err, "the earlier form distinguishes these by the owner only: %s", name)
	}
	// A value of one form does not open as one of the other form.
	_, err := box.Open(append([]byte{byte(secrets.FormOwner)}, sealed[1:]...), own)
	require.Error(t, err)
	_, err = box.Open(append([]byte{byte(secrets.FormPlace)}, before[1:]...), own)
	require.Error(t, err)
	crafted := at(func(p *secrets.Place) { p.Owner = append([]byte{2, 0, 0, 0, 8}, "webhooks"...) })
	_, err = box.Open(append([]byte{byte(secrets.FormOwner)}, sealed[1:]...), crafted)
	require.Error(t, err)
}

func TestOpenRefusesEveryChange(t *testing.T) {
	t.Parallel()
	box := setup(t, key(1)+","+key(2))
	owner := of("hook_1")
	sealed := box.Seal([]byte("geheim"), owner, secrets.FormPlace)
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
	// The id of another key on a value does not make it open with that key.
	swapped := bytes.Clone(sealed)
	copy(swapped[1:5], setup(t, key(2)).Seal(nil, owner, secrets.FormPlace)[1:5])
	_, err = box.Open(swapped, owner)
	require.Error(t, err)

	_, err = box.Open(sealed, owner)
	require.NoError(t, err, "the original is as it was")
}

// Spec 7: an error text never contains a key or a part of it.
func TestNewRefusesWhatIsNoKey(t *testing.T) {
	t.Parallel()
	raw := strings.Repeat("geheim", 6)[:secrets.KeySize]
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
		"hex":               strings.Repeat("ab", secrets.KeySize),
		"no padding":        strings.TrimRight(good, "="),
		"second is broken":  good + "," + good[1:],
		"semicolon between": good + ";" + good,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box, err := secrets.New(keys)
			require.ErrorIs(t, err, secrets.ErrKeys)
			require.Nil(t, box)
			require.NotContains(t, err.Error(), "geheim")
			require.NotContains(t, err.Error(), good[1:12])
		})
	}
	_, err := secrets.New(good + "," + good[1:])
	require.ErrorContains(t, err, "key 2", "it says which")
	setup(t, " "+good+" , "+key(1)+"\n")
}
