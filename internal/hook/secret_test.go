package hook_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 7: secrets are never logged, never in Temporal's payloads or error texts.
func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	const secret hook.Secret = "geheim"
	w := hook.Webhook{Secret: secret, Headers: map[string]hook.Secret{"Authorization": secret}}
	job := hook.Job{Webhook: &w}
	// A pointer within a struct fits these verbs only; go vet refuses the others.
	fits := []string{"%v", "%+v", "%#v", "%x", "%d"}
	prints := map[string]func() string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s", "%T %[1]v"} {
		for name, value := range map[string]any{
			"itself": secret, "pointer": new(secret), "webhook": w, "pointer to webhook": &w, "job": job, "slice": []hook.Secret{secret},
			"map": map[string]hook.Secret{"a": secret}, "map key": map[hook.Secret]int{secret: 1}, "any": []any{secret},
		} {
			if name == "job" && !slices.Contains(fits, verb) {
				continue
			}
			prints[verb+" of "+name] = func() string { return fmt.Sprintf(verb, value) }
		}
	}
	for name, log := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		prints[name] = func() string {
			var b bytes.Buffer
			slog.New(log(&b)).InfoContext(t.Context(), "made", slog.Any("secret", secret), slog.Any("webhook", w), slog.Any("job", &job))
			return b.String()
		}
	}
	prints["json"] = func() string {
		text, err := json.Marshal([]any{secret, w, job, map[string]hook.Secret{"a": secret}})
		require.NoError(t, err)
		return string(text)
	}
	prints["xml"] = func() string {
		text, err := xml.Marshal(secret)
		require.NoError(t, err)
		return string(text)
	}
	prints["error"] = func() string {
		return fmt.Errorf("refuse %v: %w", secret, hook.Unprocessable("body", "%s", secret)).Error()
	}
	for name, show := range prints {
		text := show()
		require.NotContains(t, text, "geheim", name)
		require.NotContains(t, text, fmt.Sprintf("%x", "geheim"), name)
		require.NotContains(t, text, fmt.Sprintf("%X", "geheim"), name)
	}
	require.Equal(t, "***", secret.String())
	require.Equal(t, "geheim", secret.Reveal())
}
