package verifytest_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/signing"
)

// snippet is a piece of code in a document. To try it, a test appends code that reads cases from standard input,
// and prints for each whether it verifies.
type snippet struct{ file, interpreter, scheme, code string }

// snippets returns the snippets in the documents. A comment before each names its interpreter and scheme; in the
// API's overview, whose comments readers would see, the language names the interpreter.
func snippets(t *testing.T) []snippet {
	t.Helper()
	var list []snippet
	for file, n := range map[string]int{"../../verify/README.md": 8, "../../docs/profiles/standard.md": 2} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		found := regexp.MustCompile("(?s)<!-- ([a-z0-9]+) ([a-z-]+) -->\n```[a-z]+\n(.*?)```").FindAllStringSubmatch(string(text), -1)
		require.Len(t, found, n, file)
		for _, m := range found {
			list = append(list, snippet{file, m[1], m[2], m[3]})
		}
	}
	languages := map[string]string{"js": "node", "python": "python3", "ruby": "ruby", "php": "php"}
	for language, interpreter := range languages {
		list = append(list, snippet{overview, interpreter, "standard", fenced(t, overview, language)})
	}
	return list
}

// overview is the file with the introduction of the API's reference page.
const overview = "../../api/overview.md"

// fenced returns the only piece of code in the language in a document.
func fenced(t *testing.T, file, language string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, found, 1, "%s: %s", file, language)
	return found[0][1]
}

// harnesses returns the code around a snippet that runs it on cases: [{"secret", "headers", "body" in base64}].
func harnesses() map[string][2]string {
	return map[string][2]string{
		"node": {`const crypto = require("node:crypto");
`, `
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map((c) => verify(c.secret, c.headers, Buffer.from(c.body, "base64")))));`},
		"python3": {"import hashlib, hmac\n", `
import sys, json, base64
print(json.dumps([verify(c["secret"], c["headers"], base64.b64decode(c["body"])) for c in json.load(sys.stdin)]))`},
		// Header values are bytes as on the wire, not UTF-8.
		"ruby": {"require \"openssl\"\n", `
require "json"
def wire(text) = text.encode("ISO-8859-1", undef: :replace).force_encoding("UTF-8")
puts JSON.generate(JSON.parse(STDIN.read).map { |c| verify(c["secret"], c["headers"].transform_values { |v| wire(v) }, c["body"].unpack1("m0")) })`},
		"php": {"<?php\n", `
echo json_encode(array_map(fn ($c) => verify($c['secret'], $c['headers'], base64_decode($c['body'])), json_decode(stream_get_contents(STDIN), true)));`},
	}
}

type readmeCase struct {
	Secret  any               `json:"secret"` // nil if not configured
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// newCase returns a request signed at a time with the secrets; two secrets are an overlap.
func newCase(body string, at time.Time, secrets ...string) readmeCase {
	h := http.Header{}
	signing.StandardHeaders(h, signing.StandardKeys{Secret: secrets[0], V1: secrets}, "evt_1", at.Unix(), []byte(body))
	c := readmeCase{Secret: secrets[0], Headers: map[string]string{}, Body: base64.StdEncoding.EncodeToString([]byte(body))}
	for name, values := range h {
		c.Headers[strings.ToLower(name)] = values[0]
	}
	return c
}

// hostileCases returns requests that a careless receiver may accept: secrets that were not configured, with
// signatures that an attacker can make for them, and odd headers.
func hostileCases(body string, at time.Time) []readmeCase {
	signed := func(secret string, key []byte) readmeCase {
		c := newCase(body, at, current)
		c.Secret = secret
		timestamp := c.Headers["webhook-timestamp"]
		c.Headers["webhook-signature"] = v1(key, "evt_1."+timestamp+"."+body)
		c.Headers["x-webhook-signature"] = signing.HexSHA256(string(key), []byte(body))
		return c
	}
	unset := signed("", nil)
	unset.Secret = nil
	list := []readmeCase{unset}
	for _, secret := range []string{"", "whsec_", "secret", "whsec_!!!!", "whsec_YWJj", "WHSEC_" + current[6:], "\n" + current} {
		list = append(list, signed(secret, nil))
	}
	list = append(list, signed("whsec_YWJj", []byte("abc")))
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		missing, empty, odd := newCase(body, at, current), newCase(body, at, current), newCase(body, at, current)
		for _, c := range []readmeCase{missing, empty, odd} {
			delete(c.Headers, "x-webhook-signature")
		}
		delete(missing.Headers, name)
		empty.Headers[name] = ""
		odd.Headers[name] = "é,\u0000 " + strings.Repeat("x", 5000)
		list = append(list, missing, empty, odd)
	}
	for _, change := range []func(string) string{
		func(s string) string { return s[:len(s)-1] },
		func(s string) string { return s[:1] },
		func(s string) string { return s + "0" },
		func(s string) string { return s + "é" },
		strings.ToUpper,
	} {
		c := newCase(body, at, current)
		for _, name := range []string{"webhook-signature", "x-webhook-signature"} {
			c.Headers[name] = change(c.Headers[name])
		}
		list = append(list, c)
	}
	for _, timestamp := range []string{"NaN", "Infinity", "1e9", "-1", " 1", strings.Repeat("9", 400)} {
		c := newCase(body, at, current)
		delete(c.Headers, "x-webhook-signature")
		c.Headers["webhook-timestamp"] = timestamp
		key, err := base64.StdEncoding.DecodeString(current[6:])
		if err != nil {
			panic(err) // current is a valid constant
		}
		c.Headers["webhook-signature"] = v1(key, "evt_1."+timestamp+"."+body)
		list = append(list, c)
	}
	return list
}

// v1 signs any message.
func v1(key []byte, message string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// The snippets in the documents verify exactly the requests that they should.
func TestREADME(t *testing.T) {
	t.Parallel()
	const body = `{"id":"evt_1","data":"é😀"}`
	now := time.Now()
	good := newCase(body, now, current)
	changed := newCase(body, now, current)
	changed.Body = base64.StdEncoding.EncodeToString([]byte(body + " "))
	other := newCase(body, now, current)
	other.Secret = foreign
	rotated := newCase(body, now, current, previous)
	rotated.Secret = previous
	old := newCase(body, now.Add(-6*time.Minute), current)
	ahead := newCase(body, now.Add(6*time.Minute), current)
	forged := newCase(body, now, current)
	forged.Headers["webhook-signature"], forged.Headers["x-webhook-signature"] = "v1,é v1 v1,", "é"
	cases, err := json.Marshal(append([]readmeCase{good, newCase("", now, current), changed, other, forged, rotated, old, ahead}, hostileCases(body, now)...))
	require.NoError(t, err)
	want := map[string][]bool{
		"standard":          {true, true, false, false, false, false, true, true}, // it has one signature, without a timestamp
		"standard-webhooks": {true, true, false, false, false, true, false, false},
	}
	for _, s := range snippets(t) {
		t.Run(s.file+" "+s.interpreter+" "+s.scheme, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(s.interpreter)
			if err != nil {
				t.Skipf("no %s here", s.interpreter)
			}
			around := harnesses()[s.interpreter]
			file := t.TempDir() + "/snippet.cjs" // node needs the extension, the others ignore it
			require.NoError(t, os.WriteFile(file, []byte(around[0]+s.code+around[1]), 0o600))
			cmd := exec.CommandContext(t.Context(), path, file)
			cmd.Stdin = bytes.NewReader(cases)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, "%s", &stderr)
			var verified []bool
			require.NoError(t, json.Unmarshal(out, &verified), "%s", &stderr)
			// No hostile case verifies, and none causes an exception.
			hostile := make([]bool, len(hostileCases(body, now)))
			require.Equal(t, append(slices.Clone(want[s.scheme]), hostile...), verified, "%s", &stderr)
		})
	}
}

// The Go code in README.md is the code of the example, which is compiled.
func TestREADMEsGo(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../verify/README.md")
	require.NoError(t, err)
	m := regexp.MustCompile("(?s)<!-- go -->\n```go\n(.*?)```").FindStringSubmatch(string(text))
	require.NotNil(t, m)
	example, err := os.ReadFile("../../verify/go/example_test.go")
	require.NoError(t, err)
	require.Contains(t, string(example), strings.TrimSpace(m[1]))
}

// The overview's Go code is a handler that the tests of verify/go compile and run.
func TestOverviewsGo(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("../../verify/go/example_test.go")
	require.NoError(t, err)
	unindented := strings.ReplaceAll(string(example), "\n\t", "\n")
	require.Contains(t, unindented, fenced(t, overview, "go"))
}
