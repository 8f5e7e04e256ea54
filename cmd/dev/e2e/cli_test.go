package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/syncbuf"
)

// binary is the product's binary, built once.
var binary struct {
	once sync.Once
	path string
	err  error
}

// cli runs the product's command line as a user does, with the stack's URL and key
// in the environment.
type cli struct {
	t    testing.TB
	path string
	env  []string
}

func commandLine(t testing.TB, c *apiClient) *cli {
	t.Helper()
	binary.once.Do(func() {
		binary.path = filepath.Join(shared.dir, "grapnel")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", binary.path, "./cmd/grapnel")
		build.Dir = "../../.."
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	require.NoError(t, binary.err)
	return &cli{t: t, path: binary.path, env: append(os.Environ(), "GRAPNEL_URL="+c.url, "GRAPNEL_KEY="+c.key)}
}

// start prepares the command and its output buffers without running it.
func (l *cli) start(args ...string) (cmd *exec.Cmd, stdout, stderr *syncbuf.Buffer) {
	cmd = exec.CommandContext(l.t.Context(), l.path, args...)
	cmd.Env = l.env
	stdout, stderr = &syncbuf.Buffer{}, &syncbuf.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// run runs a command that must exit with the code, and returns its output.
func (l *cli) run(code int, in string, args ...string) (stdout, stderr string) {
	l.t.Helper()
	cmd, out, errs := l.start(args...)
	cmd.Stdin = strings.NewReader(in)
	l.ended(cmd.Run(), code, errs)
	return out.String(), errs.String()
}

func (l *cli) ended(err error, code int, stderr *syncbuf.Buffer) {
	l.t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(l.t, err)
	}
	got := 0
	if exit != nil {
		got = exit.ExitCode()
	}
	require.Equal(l.t, code, got, stderr.String())
}

// json runs a command that must succeed, and decodes its output.
func (l *cli) json(args ...string) object {
	l.t.Helper()
	out, _ := l.run(0, "", append(args, "--json")...)
	var o object
	require.NoError(l.t, json.Unmarshal([]byte(out), &o), out)
	return o
}

// eventType creates an event type for this test alone.
func (c *apiClient) eventType() string {
	name := fmt.Sprintf("cli.t%d", time.Now().UnixNano())
	c.do(http.MethodPut, "/v1/event-types/"+name, object{}, http.StatusCreated)
	return name
}

// variable matches the parts of the output that differ from run to run.
var variable = regexp.MustCompile(`(hook|del|evt)_[0-9a-z]{26}|cli\.t[0-9]+|\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ|whsec_\S+|127\.0\.0\.1:\d+|\d+ ms`)

// masked replaces those parts with masks of the same width, so that columns stay aligned.
func masked(text string) string {
	text = variable.ReplaceAllStringFunc(text, func(s string) string {
		name, _, _ := strings.Cut(strings.TrimRight(s, "0123456789"), "_")
		return "<" + strings.Trim(name, ".:- ") + ">"
	})
	return regexp.MustCompile(` +`).ReplaceAllString(text, " ")
}

func TestCommandLineWebhooks(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	l := commandLine(t, c)
	name, receiver := c.eventType(), newRecorder(t, status(200), status(500), status(200))
	out, _ := l.run(0, "", "webhooks", "create", receiver.URL, name, "--description=Billing", "--header=X-Tour=a;b", "--timeout=5", "--rate-limit=10")
	require.Equal(t, strings.Join([]string{
		"id <hook>", "url http://<127.0.0.1>", "events <cli.t>", "profile standard", "status healthy", "description Billing", "headers X-Tour: ***",
		"timeout 5 s", "rate limit 10", "attempts 5", "created <date>", "updated <date>", "secret <whsec>", "",
	}, "\n"), dated(masked(out)))
	id := regexp.MustCompile(`hook_\w+`).FindString(out)

	out, _ = l.run(0, "", "webhooks", "list", "--event="+name)
	require.Equal(t, "ID STATUS PROFILE EVENTS URL CREATED\n<hook> healthy standard <cli.t> http://<127.0.0.1> <date>\n", dated(masked(out)))
	require.Equal(t, c.do(http.MethodGet, "/v1/webhooks/"+id, nil, 200), l.json("webhooks", "get", id))
	changed := l.json("webhooks", "update", id, "--description=", "--no-headers", "--max-attempts=2", "--rate-limit=0")
	require.NotContains(t, changed, "description")
	require.NotContains(t, changed, "headers")
	require.NotContains(t, changed, "rate_limit")
	require.EqualValues(t, 2, changed["max_attempts"])

	out, _ = l.run(0, "", "webhooks", "test", id, `--data={"n":1.0}`)
	require.Contains(t, out, "status     success\n")
	require.JSONEq(t, `{"n":1}`, dataOf(t, receiver.requests()[0].Body))
	_, errs := l.run(6, "", "webhooks", "test", id)
	require.Contains(t, errs, "the delivery did not succeed: HTTP 500 Internal Server Error")

	list := l.json("webhooks", "deliveries", id, "--status=failed")["deliveries"].([]any)
	require.Len(t, list, 1)
	delivery := list[0].(object)["id"].(string)
	out, _ = l.run(0, "", "deliveries", "get", delivery)
	require.Regexp(t, `(?m)^1 +\S+ \S+ +\d+ ms +500 +127\.0\.0\.1:\d+ +HTTP 500 Internal Server Error$`, out)
	retried := l.json("deliveries", "retry", delivery)
	require.Equal(t, "success", retried["status"])
	require.EqualValues(t, 2, retried["attempts"])

	out, _ = l.run(0, "", "webhooks", "delete", id)
	require.Equal(t, id+" deleted\n", out)
	_, errs = l.run(5, "", "webhooks", "get", id)
	require.Equal(t, "grapnel: webhook not found (404 NOT_FOUND)\n", errs)
}

// dated replaces the masks of times and durations with "<date>".
func dated(text string) string {
	return regexp.MustCompile(`<\d{4}-[^>]*>`).ReplaceAllString(text, "<date>")
}

func dataOf(t testing.TB, body []byte) string {
	t.Helper()
	var event struct{ Data json.RawMessage }
	require.NoError(t, json.Unmarshal(body, &event))
	return string(event.Data)
}

func TestCommandLinePublishes(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	l := commandLine(t, c)
	name := c.eventType()
	one := l.json("events", "publish", "--type="+name, `--data={"a":1}`, "--id="+name)
	require.Equal(t, name, one["idempotency_key"])
	out, _ := l.run(0, "", "events", "publish", "--type="+name, `--data={"a":1}`, "--id="+name)
	require.Contains(t, out, "published before")

	var lines bytes.Buffer
	for i := range 250 {
		fmt.Fprintf(&lines, "{\"type\":%q,\"data\":%d}\n", name, i)
	}
	file := filepath.Join(t.TempDir(), "events.ndjson")
	require.NoError(t, os.WriteFile(file, lines.Bytes(), 0o600))
	out, errs := l.run(0, "", "events", "publish", file)
	require.Regexp(t, `^250 accepted, in \d+\.\d s \(\d+/s\)\n$`, out)
	require.Empty(t, errs, "no progress where there is no terminal")
	out, _ = l.run(0, "1\n2\n", "events", "publish", "--type="+name)
	require.Contains(t, out, "2 accepted")
	stored := 0
	for cursor := ""; ; {
		page := c.do(http.MethodGet, "/v1/events?limit=100&type="+name+cursor, nil, 200)
		stored += len(page["events"].([]any))
		if page["next_cursor"] == nil {
			break
		}
		cursor = "&cursor=" + page["next_cursor"].(string)
	}
	require.Equal(t, 253, stored)

	// An event that the API refuses is reported by its line. Large numbers keep all their digits on the way to the
	// API.
	in := fmt.Sprintf("{\"type\":%q,\"data\":1}\n{\"type\":%q,\"data\":9007199254740993}\n{\"type\":\"cli.none\",\"data\":3}\n", name, name)
	out, errs = l.run(6, in, "events", "publish")
	require.Contains(t, out, "1 accepted, 2 refused")
	require.Contains(t, errs, "line 2: inexact number: body.events[1]/data number 9007199254740993 would arrive as 9007199254740992; send it as a string")
	require.Contains(t, errs, "line 3: validation failed: body.events[2].type is not a known event type")
	_, errs = l.run(2, in[:40]+"\n{\n", "events", "publish", "--batch=1")
	require.Contains(t, errs, "line 1 is not JSON")
}

// A webhook is paused; a replay sends it the events published before it was created.
func TestCommandLinePausesAndReplays(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	l := commandLine(t, c)
	name, receiver := c.eventType(), newRecorder(t)
	c.publish(name, 1)
	id := l.json("webhooks", "create", receiver.URL, name)["id"].(string)
	require.Equal(t, true, l.json("webhooks", "update", id, "--paused=true")["paused"])
	since := "--since=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	waitFor(t, "the event to be counted", func() bool {
		return l.json("webhooks", "replay", id, since, "--status=missing", "--dry-run")["events"] == 1.0
	})
	out, _ := l.run(0, "", "webhooks", "replay", id, since, "--status=missing", "--rate=5")
	require.Contains(t, masked(out), "state running\nwebhook <hook>\nstatus missing\n")
	replay := regexp.MustCompile(`rpl_\w+`).FindString(out)
	require.Equal(t, "paused", l.json("replays", "pause", replay)["state"])
	require.Equal(t, "running", l.json("replays", "resume", replay)["state"])
	require.Empty(t, receiver.requests(), "the webhook is paused")
	l.json("webhooks", "update", id, "--paused=false")
	waitFor(t, "the replay to end", func() bool { return l.json("replays", "get", replay)["state"] == "completed" })
	out, _ = l.run(0, "", "replays", "list", "--webhook="+id)
	require.Regexp(t, ` completed missing \d+ 1 <hook>`, masked(out)) // the scan may include events of other tests
	_, errs := l.run(2, "", "replays", "cancel", replay)
	require.Contains(t, errs, "the replay is completed")
	require.Len(t, receiver.requests(), 1)
}

func TestCommandLineErrors(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	l := commandLine(t, c)
	_, errs := l.run(4, "", "webhooks", "list", "--key=gk_wrong")
	require.Contains(t, errs, "(401 UNAUTHENTICATED)")
	addr, err := stack.FreeAddrs(t.Context(), stack.Loopback, 1)
	require.NoError(t, err)
	_, errs = l.run(3, "", "webhooks", "list", "--url=http://"+addr[0].String())
	require.Contains(t, errs, "the API can't be reached: ")
	_, errs = l.run(2, "", "webhooks", "create", "nowhere", "no such type")
	require.Contains(t, errs, "body.url must be an absolute http or https URL")
	require.Contains(t, errs, "body.events[0]")
	_, errs = l.run(2, "", "webhooks", "lst")
	require.Contains(t, errs, `unexpected argument lst, did you mean one of "list"`)
	out, _ := l.run(0, "", "--help")
	require.Contains(t, out, "6  the answer is no")
}

func TestCommandLineListens(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	l := commandLine(t, c)
	name := c.eventType()
	cmd, out, errs := l.start("listen", name, "--status=500,200", "--count=2", "--delay=10ms")
	require.NoError(t, cmd.Start())
	id := listening(t, errs)
	c.publish(name, object{"text": "é\x1b[31m"})
	l.ended(cmd.Wait(), 0, errs)
	text := out.String()
	require.Regexp(t, `(?s)attempt 1  signature fits  → 500\n.*attempt 2  signature fits  → 200\n`, text)
	require.Contains(t, text, "        \"text\": \"é")
	require.NotContains(t, text, "\x1b")
	c.do(http.MethodGet, "/v1/webhooks/"+id, nil, http.StatusNotFound)

	// An interrupt ends grapnel listen, which deletes its webhook.
	cmd, out, errs = l.start("listen", name, "--profile=commenda", "--json")
	require.NoError(t, cmd.Start())
	id = listening(t, errs)
	c.publish(name, 1)
	waitFor(t, "the request", func() bool { return strings.HasSuffix(out.String(), "\n") })
	var got object
	require.NoError(t, json.Unmarshal([]byte(out.String()), &got), out.String())
	require.Equal(t, true, got["verified"])
	require.Equal(t, name, got["type"])
	require.EqualValues(t, 200, got["status"])
	waitFor(t, "the delivery to be recorded", func() bool {
		list := c.deliveries(id)
		return len(list) == 1 && list[0].(object)["status"] == "success"
	})
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	l.ended(cmd.Wait(), 0, errs)
	c.do(http.MethodGet, "/v1/webhooks/"+id, nil, http.StatusNotFound)
}

// listening waits until grapnel listen has registered its webhook, and returns the webhook's id.
func listening(t testing.TB, errs *syncbuf.Buffer) (webhook string) {
	t.Helper()
	waitFor(t, "the webhook", func() bool {
		webhook = regexp.MustCompile(`hook_\w+`).FindString(errs.String())
		return webhook != ""
	})
	return webhook
}

// grapnel verify checks a real request that a receiver has saved.
func TestCommandLineVerifies(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	l := commandLine(t, c)
	name, receiver := c.eventType(), newRecorder(t)
	created := c.do(http.MethodPost, "/v1/webhooks", object{"url": receiver.URL, "events": []string{name}}, http.StatusCreated)
	c.do(http.MethodPost, "/v1/webhooks/"+created["id"].(string)+"/test", object{}, 200)
	request := receiver.requests()[0]
	var text bytes.Buffer
	text.WriteString("POST / HTTP/1.1\r\n")
	require.NoError(t, request.Header.Write(&text))
	text.WriteString("\r\n")
	text.Write(request.Body)
	file := filepath.Join(t.TempDir(), "request.http")
	require.NoError(t, os.WriteFile(file, text.Bytes(), 0o600))

	secret := "--secret=" + created["secret"].(string)
	out, errs := l.run(0, "", "verify", file, secret, "--tolerance=5m")
	require.Equal(t, "HEADER PROFILE SIGNATURE\nX-Webhook-Signature standard fits\nWebhook-Signature standard fits\n", masked(out))
	require.Regexp(t, `^signed \d+s ago\n$`, errs)
	_, errs = l.run(2, text.String()[:text.Len()-1], "verify", secret)
	require.Contains(t, errs, "Content-Length", "it is cut short")
	out, _ = l.run(6, text.String(), "verify", "--secret=another")
	require.Contains(t, out, "does not fit")
}
