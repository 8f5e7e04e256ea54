package canonjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/canonjson"
)

// roundTrips reads an array of texts and prints an array of their round trips in ECMAScript, with null for a text that
// is no JSON.
const roundTrips = `
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(texts.map(text => {
	try { return JSON.stringify(JSON.parse(text)); } catch { return null; }
})));`

// node prints every accepted text as this package does, and refuses every text that is refused as no JSON.
func TestNodeAgrees(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Log("no node here; the vectors were made with it")
		return
	}

	const documentsOfEachKind = 2000
	plain, hostile := documents(false), documents(true)
	var texts []string
	for i := range documentsOfEachKind {
		text := plain.Example(i)
		texts = append(texts, text, hostile.Example(i), broken(text, i))
	}
	stdin, err := json.Marshal(texts)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), node, "-e", roundTrips)
	cmd.Stdin = bytes.NewReader(stdin)
	stdout, err := cmd.Output()
	require.NoError(t, err)
	var printed []*string
	require.NoError(t, json.Unmarshal(stdout, &printed))
	require.Len(t, printed, len(texts))

	accepted := 0
	for i, text := range texts {
		out, err := canonjson.Canonicalize([]byte(text))
		if err == nil {
			accepted++
			require.NotNil(t, printed[i], "node refuses %q", text)
			require.Equal(t, *printed[i], string(out), "%q", text)
			continue
		}
		refused, ok := errors.AsType[*canonjson.Error](err)
		require.True(t, ok)
		if refused.Reason == canonjson.ReasonNotJSON {
			require.Nil(t, printed[i], "%q: node prints what we refuse: %v", text, err)
		}
	}
	require.Greater(t, accepted, documentsOfEachKind)
}

// broken replaces one ASCII character of text by another that matters in JSON.
func broken(text string, seed int) string {
	return rapid.Custom(func(t *rapid.T) string {
		b := []byte(text)
		i := rapid.IntRange(0, max(len(b)-1, 0)).Draw(t, "at")
		if i >= len(b) || b[i] >= 0x80 {
			return text + "]"
		}
		b[i] = rapid.SampledFrom([]byte("{}[]:,\"\\-+.eE019 tfnu\n\x00\x1f")).Draw(t, "by")
		return string(b)
	}).Example(seed)
}
