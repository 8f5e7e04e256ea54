package e2e

import (
	"crypto/hmac"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// nodeReceiver is the seed's Express receiver without Express: it verifies the signature over JSON.stringify of the
// parsed body, and prints the result.
const nodeReceiver = `
const crypto = require('crypto'), http = require('http');
function verifyWebhook(payload, signature, secret) {
  const hmac = crypto.createHmac('sha256', secret).update(payload).digest('hex');
  return crypto.timingSafeEqual(Buffer.from(signature), Buffer.from(hmac));
}
http.createServer((req, res) => {
  const parts = [];
  req.on('data', (part) => parts.push(part)).on('end', () => {
    const body = JSON.parse(Buffer.concat(parts).toString('utf8'));
    const ok = verifyWebhook(JSON.stringify(body), req.headers['x-webhook-signature'], process.env.WEBHOOK_SECRET);
    console.log((ok ? 'verified ' : 'refused ') + body.id);
    res.writeHead(ok ? 200 : 401).end();
  });
}).listen(0, '127.0.0.1', function () { console.log('http://127.0.0.1:' + this.address().port); });
process.stdin.on('end', () => process.exit(0)).resume();
`

// Spec 2: the seed's receivers verify every accepted body: the receiver that signs the raw body, and the one that
// signs the body parsed and serialised again.
func TestSeedsReceiversVerify(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	const secret, events = "whsec_abc123...", 200
	r := newRecorder(t)
	_, eventType := c.webhook(r.URL, object{"secret": secret})
	node := startScript(t, []string{"-e", nodeReceiver}, "WEBHOOK_SECRET="+secret)
	if node != nil {
		c.do(http.MethodPost, "/v1/webhooks", object{"url": node.url, "events": []string{eventType}, "secret": secret}, http.StatusCreated)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range events {
		c.publish(eventType, json.RawMessage(generate(random, 4)))
	}
	waitFor(t, "all events", func() bool { return len(r.requests()) == events })
	for _, request := range r.requests() {
		signature := request.Header.Get("X-Webhook-Signature")
		require.True(t, hmac.Equal([]byte(signature), []byte(hmacHex(secret, request.Body))), "%s", request.Body)
	}
	if node == nil {
		return
	}
	for range events {
		require.Regexp(t, "^verified evt_", node.next(t))
	}
}

// generate returns a random JSON text that Grapnel accepts and has to rewrite: odd spacing, escapes, numbers in
// every notation, integer-like names.
func generate(r *rand.Rand, depth int) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	text := func() string {
		return pick(`"a"`, `"é\u00e9"`, `"\u003cb>&"`, `"😀\ud83d\ude00"`, `"\u2028\u2029"`, `"\/\b\f\n\r\t\u0000\u001F"`, `""`, `"\\\""`, `"\u007f"`)
	}
	switch kind := r.IntN(8); {
	case depth == 0 || kind < 2:
		return pick("1.0", "-0", "1e21", "1E+2", "0.0000001", "123456789012345680000", "5e-324", "0.1", "true", "false", "null", text(), text())
	case kind < 5:
		var items []string
		for range r.IntN(5) {
			items = append(items, " "+generate(r, depth-1))
		}
		return "[" + strings.Join(items, ",") + " ]"
	default:
		names := []string{`"b"`, `"10"`, `"9"`, `"01"`, `"4294967294"`, `"4294967295"`, `"__proto__x"`, `"toJSON"`, `"é"`, `""`, `"-1"`, `"1.5"`}
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		var members []string
		for _, name := range names[:r.IntN(len(names))] {
			members = append(members, "\n"+name+" : "+generate(r, depth-1))
		}
		return "{" + strings.Join(members, ",") + "\t}"
	}
}
