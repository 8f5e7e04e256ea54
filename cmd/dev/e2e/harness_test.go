package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/program"
	"grapnel/cmd/dev/stack"
	"grapnel/internal/syncbuf"
	"grapnel/internal/wait"
)

// childEnv makes this test binary run as cmd/dev instead: the stack under test and its children are separate
// processes of this binary.
const childEnv = "GRAPNEL_DEV_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(program.Main())
	}
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// eventually is the time that a test waits by default for a condition.
const eventually = 30 * time.Second

// stackProcess is a running dev stack.
type stackProcess struct {
	cmd    *exec.Cmd
	ready  map[string]string
	output *syncbuf.Buffer
	exited chan struct{}
}

// freeFlags returns flags with addresses that no other stack uses.
func freeFlags(ctx context.Context) ([]string, error) {
	addrs, err := stack.FreeAddrs(ctx, stack.Loopback, 4)
	if err != nil {
		return nil, err
	}
	var flags []string
	for i, name := range []string{"--api-addr", "--temporal-addr", "--ui-addr", "--receiver-addr"} {
		flags = append(flags, name+"="+addrs[i].String())
	}
	return flags, nil
}

// launch starts a stack and waits until it is ready.
func launch(ctx context.Context, dir string, args ...string) (*stackProcess, error) {
	return launchWith(ctx, nil, dir, args...)
}

// launchWith is launch with additional environment variables for the stack.
func launchWith(ctx context.Context, environment []string, dir string, args ...string) (*stackProcess, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &stackProcess{output: &syncbuf.Buffer{}, exited: make(chan struct{}), ready: map[string]string{}}
	s.cmd = exec.Command(exe, append([]string{"--data-dir=" + dir}, args...)...) // this binary; it ends by a signal
	s.cmd.Env = slices.Concat(os.Environ(), environment, []string{childEnv + "=1"})
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Stderr = s.output
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fmt.Fprintln(s.output, lines.Text())
			if strings.HasPrefix(lines.Text(), "ready ") {
				line <- lines.Text()
			}
		}
		_ = s.cmd.Wait() // Stop reads the process state
		close(s.exited)
	}()
	select {
	case text := <-line:
		for _, pair := range strings.Fields(text)[1:] {
			name, value, _ := strings.Cut(pair, "=")
			s.ready[name] = value
		}
		return s, nil
	case <-s.exited:
		return s, fmt.Errorf("the stack ended: %s", s.output)
	case <-ctx.Done():
		return s, errors.Join(ctx.Err(), s.stop(), errors.New(s.output.String()))
	}
}

// stop interrupts the stack and waits for it to end; an unclean end is an error.
func (s *stackProcess) stop() error {
	if s == nil || s.cmd == nil {
		return nil
	}
	select {
	case <-s.exited:
		return nil
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	<-s.exited
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the stack ended with code %d: %s", code, s.output)
	}
	return nil
}

func (s *stackProcess) pid(t testing.TB, name string) int {
	t.Helper()
	pid, err := strconv.Atoi(s.ready["pid_"+name])
	require.NoError(t, err)
	return pid
}

// start launches a stack for this test alone.
func start(t testing.TB, dir string, args ...string) *stackProcess {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := launch(ctx, dir, args...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.stop()) })
	return s
}

// sharedStack is the stack of all tests that do not change it.
type sharedStack struct {
	once    sync.Once
	process *stackProcess
	dir     string
	err     error
}

var shared sharedStack

// quick is the retry schedule of most tests.
const quick = "--retry-schedule=300ms,400ms,500ms,600ms"

func sharedAPI(t testing.TB) *apiClient {
	t.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "grapnel-e2e-"); shared.err != nil {
			return
		}
		var flags []string
		if flags, shared.err = freeFlags(t.Context()); shared.err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// Tests publish in parallel and look up the workflow of each event, so events must not share workflows.
		shared.process, shared.err = launch(ctx, shared.dir, append(flags, quick, "--allow-http", "--max-events-per-workflow=1")...)
	})
	require.NoError(t, shared.err)
	return clientOf(t, shared.process)
}

func (s *sharedStack) stop() error {
	err := s.process.stop()
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// apiClient calls the API as a user does.
type apiClient struct {
	t         testing.TB
	url, key  string
	ui        string
	receiver  string
	transport *http.Client
}

func clientOf(t testing.TB, s *stackProcess) *apiClient {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &apiClient{
		t: t, url: s.ready["api"], key: s.ready["key"], ui: s.ready["ui"], receiver: s.ready["receiver"],
		transport: &http.Client{Transport: transport, Timeout: time.Minute},
	}
}

// object is a JSON object.
type object = map[string]any

// send makes a request with a body of any kind and returns the status and the answer. It returns errors instead of
// failing the test, so that handlers and publishers can call it.
func (c *apiClient) send(ctx context.Context, method, path, contentType string, body []byte) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := c.transport.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() // the body is read to its end
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// try makes a request and returns the status and the decoded answer.
func (c *apiClient) try(method, path string, body any) (int, object, error) {
	var text []byte
	contentType := ""
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
		contentType = "application/json"
	}
	code, answer, err := c.send(c.t.Context(), method, path, contentType, text)
	if err != nil || len(answer) == 0 {
		return code, nil, err
	}
	var out object
	err = json.Unmarshal(answer, &out)
	return code, out, err
}

// do makes a request whose answer must have the status.
func (c *apiClient) do(method, path string, body any, status int) object {
	c.t.Helper()
	got, out, err := c.try(method, path, body)
	require.NoError(c.t, err)
	require.Equal(c.t, status, got, "%s %s: %v", method, path, out)
	return out
}

// webhook creates a webhook for a new event type, so that tests do not see each other's events; more sets further
// members.
func (c *apiClient) webhook(url string, more object) (id, eventType string) {
	c.t.Helper()
	eventType = "test." + strings.ToLower(strings.NewReplacer("/", "_", " ", "_").Replace(c.t.Name())) + fmt.Sprintf("_%d", time.Now().UnixNano())
	c.do(http.MethodPut, "/v1/event-types/"+eventType, object{}, http.StatusCreated)
	body := object{"url": url, "events": []string{eventType}}
	for name, value := range more {
		body[name] = value
	}
	return c.do(http.MethodPost, "/v1/webhooks", body, http.StatusCreated)["id"].(string), eventType
}

func (c *apiClient) publish(eventType string, data any) (eventID string) {
	c.t.Helper()
	return c.do(http.MethodPost, "/v1/events", object{"type": eventType, "data": data}, http.StatusAccepted)["id"].(string)
}

// deliveries returns the webhook's deliveries, newest first.
func (c *apiClient) deliveries(webhook string) []any {
	c.t.Helper()
	return c.do(http.MethodGet, "/v1/webhooks/"+webhook+"/deliveries?limit=100", nil, http.StatusOK)["deliveries"].([]any)
}

// settled waits until no attempt of the webhook's newest delivery is pending, and returns that delivery.
func (c *apiClient) settled(webhook string) object {
	c.t.Helper()
	var d object
	waitFor(c.t, "the delivery to settle", func() bool {
		list := c.deliveries(webhook)
		if len(list) == 0 {
			return false
		}
		d = list[0].(object)
		_, more := d["next_attempt_at"]
		_, waits := d["waiting"]
		return !more && !waits
	})
	return d
}

// waitFor polls until ok returns true, and fails the test after a time limit (eventually).
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	waitUpTo(t, eventually, what, ok)
}

// waitUpTo is waitFor with another time limit.
func waitUpTo(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			require.FailNow(t, "waited in vain for "+what)
		}
		require.NoError(t, wait.For(t.Context(), stack.PollInterval))
	}
}
