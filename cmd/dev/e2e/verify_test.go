package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	verify "grapnel/verify/go"
)

// verification is a request as it arrived, and the keys to verify it.
type verification struct {
	Profile string      `json:"profile"`
	Keys    []string    `json:"keys"`
	Header  http.Header `json:"headers"`
	Body    []byte      `json:"body"`
	// JWKs are the tenant's public keys, for verifying v1a without Grapnel's packages.
	JWKs []any `json:"jwks,omitempty"`
	Good bool  `json:"-"`
	what string
}

// byGo verifies with the Go package.
func (v *verification) byGo() error {
	switch v.Profile {
	case "standard":
		return verify.Standard(v.Keys[0], v.Header, v.Body)
	case "momento":
		return verify.Momento(v.Keys[0], v.Header, v.Body)
	case "commenda":
		return verify.Commenda(v.Keys[0], v.Header, v.Body)
	default:
		return verify.StandardWebhooks(v.Keys, v.Header, v.Body)
	}
}

// byNode verifies with the TypeScript package, and v1a also with node's own cryptography and the JWKs.
const byNode = `
import { createPublicKey, verify as ed25519 } from "node:crypto";
import { readFileSync } from "node:fs";
const functions = await import(process.argv[1]);
const results = JSON.parse(readFileSync(0, "utf8")).map((v) => {
  const body = Buffer.from(v.body, "base64");
  try {
    const verify = functions[v.profile];
    verify(v.profile === "standardWebhooks" ? v.keys : v.keys[0], v.headers, body);
  } catch (error) {
    return error.code ?? String(error);
  }
  if (v.jwks === undefined) return "verified";
  const header = (name) => v.headers[name][0];
  const signed = Buffer.concat([Buffer.from(header("Webhook-Id") + "." + header("Webhook-Timestamp") + "."), body]);
  const ok = header("Webhook-Signature").split(" ").filter((s) => s.startsWith("v1a,")).every((s) =>
    v.jwks.some((jwk) => ed25519(null, signed, createPublicKey({ key: jwk, format: "jwk" }), Buffer.from(s.slice(4), "base64"))));
  return ok ? "verified" : "refused by node";
});
console.log(JSON.stringify(results));
`

// typescriptPackage returns the path of the built TypeScript package, or "" if it is not built, which CI does not
// allow.
func typescriptPackage(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("GRAPNEL_VERIFY_JS"); path != "" {
		require.FileExists(t, path)
		return path
	}
	path, err := filepath.Abs("../../../verify/typescript/dist/index.js")
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// The packages for receivers verify requests of every profile, v1a signatures, and all secrets of an overlap; they
// refuse everything else.
func TestReceiversVerify(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	only := func(r *recorder) recorded {
		waitFor(t, "the request", func() bool { return len(r.requests()) == 1 })
		return r.requests()[0]
	}
	data := json.RawMessage(`{"text":"é😀 <&>","10":1.0,"9":-0}`)
	var list []verification

	r := newRecorder(t)
	id, eventType := c.webhook(r.URL, object{"signature_schemes": []string{"v1", "v1a"}})
	path := "/v1/webhooks/" + id
	first := c.do(http.MethodGet, path+"/secret", nil, http.StatusOK)["secret"].(string)
	second := c.do(http.MethodPost, path+"/secret/rotate", nil, http.StatusOK)["secret"].(string)
	c.publish(eventType, data)
	request := only(r)
	require.Regexp(t, `^v1,\S+ v1,\S+ v1a,\S+$`, request.Header.Get("Webhook-Signature"))
	keys := c.publicKeys(c.do(http.MethodGet, path, nil, http.StatusOK)["public_keys_path"].(string))
	whpk := keys[0].(object)["whpk"].(string)
	list = append(list,
		verification{what: "the new secret's own header", Profile: "standard", Keys: []string{second}, Header: request.Header, Body: request.Body, Good: true},
		verification{what: "the old secret has no own header", Profile: "standard", Keys: []string{first}, Header: request.Header, Body: request.Body},
		verification{what: "v1 with the new secret", Profile: "standardWebhooks", Keys: []string{second}, Header: request.Header, Body: request.Body, Good: true},
		verification{what: "v1 with the old secret", Profile: "standardWebhooks", Keys: []string{first}, Header: request.Header, Body: request.Body, Good: true},
		verification{what: "v1a", Profile: "standardWebhooks", Keys: []string{whpk}, Header: request.Header, Body: request.Body, JWKs: keys, Good: true},
		verification{what: "a stranger's keys", Profile: "standardWebhooks", Keys: []string{"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}, Header: request.Header, Body: request.Body},
	)

	r = newRecorder(t)
	_, eventType = c.webhook(r.URL, object{"signature_schemes": []string{"v1a"}, "secret": "in plain words"})
	c.publish(eventType, data)
	request = only(r)
	list = append(list,
		verification{what: "a plain secret", Profile: "standard", Keys: []string{"in plain words"}, Header: request.Header, Body: request.Body, Good: true},
		verification{what: "v1a beside a plain secret", Profile: "standardWebhooks", Keys: []string{whpk}, Header: request.Header, Body: request.Body, JWKs: keys, Good: true},
	)

	r = newRecorder(t)
	secret := c.topicHook("verify", "verify", r.URL, "verify")
	status, _, err := c.send(t.Context(), http.MethodPost, "/topics/verify/verify", "text/plain", []byte(`{"a":"<&>é 😀"}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, status)
	request = only(r)
	list = append(list, verification{what: "momento", Profile: "momento", Keys: []string{secret}, Header: request.Header, Body: request.Body, Good: true})

	r = newRecorder(t)
	topic := c.commendaTopic()
	_, key := c.commendaHook(r.URL, object{"topics": []string{topic}})
	c.commendaPublish(topic, data)
	request = only(r)
	list = append(list, verification{what: "commenda", Profile: "commenda", Keys: []string{key}, Header: request.Header, Body: request.Body, Good: true})

	for _, v := range list[:len(list):len(list)] { // each is refused with another body
		v.what, v.Good, v.Body = v.what+", changed", false, append(bytes.Clone(v.Body), ' ')
		list = append(list, v)
	}
	for _, v := range list {
		if v.Good {
			require.NoError(t, v.byGo(), v.what)
		} else {
			require.ErrorIs(t, v.byGo(), verify.ErrNoMatch, v.what)
		}
	}
	verifyByNode(t, list)
}

// publicKeys returns the public keys at a path that needs no API key.
func (c *apiClient) publicKeys(path string) []any {
	c.t.Helper()
	anybody := *c
	anybody.key = ""
	return anybody.do(http.MethodGet, path, nil, http.StatusOK)["keys"].([]any)
}

func verifyByNode(t *testing.T, list []verification) {
	t.Helper()
	module := typescriptPackage(t)
	if module == "" {
		t.Log("verify/typescript is not built (npm ci && npm run build): only the Go package is tried")
		return
	}
	stdin, err := json.Marshal(list)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", byNode, module)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var results []string
	require.NoError(t, json.Unmarshal(out, &results))
	require.Len(t, results, len(list))
	for i, v := range list {
		require.Equal(t, map[bool]string{true: "verified", false: "no_match"}[v.Good], results[i], v.what)
	}
}
