package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/egress/egresstest"
	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// publicAddr stands for an address on the internet: the only loopback address that the stack under attack may call.
// All of 127.0.0.0/8 is this machine.
const publicAddr = "127.8.8.8"

// trap listens on addresses that no request may reach, and counts the connections.
type trap struct {
	port  string
	conns atomic.Int64
}

// setTrap listens on a port of both loopback addresses that is also free on the addresses in more, and returns the
// listeners on those.
func setTrap(t *testing.T, more ...string) (*trap, []net.Listener) {
	t.Helper()
	var lc net.ListenConfig
	var listeners []net.Listener
	set := &trap{port: "0"}
	waitFor(t, "a port that is free on all addresses", func() bool {
		set.port = "0"
		for _, host := range append([]string{"127.0.0.1", "::1"}, more...) {
			l, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(host, set.port))
			if err != nil {
				require.ErrorIs(t, err, syscall.EADDRINUSE, "this test needs %s to be an address of this machine", host)
				for _, l := range listeners {
					_ = l.Close()
				}
				listeners = nil
				return false
			}
			listeners = append(listeners, l)
			_, set.port, err = net.SplitHostPort(l.Addr().String())
			require.NoError(t, err)
		}
		return true
	})
	for _, l := range listeners[:2] {
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				set.conns.Add(1)
				_ = c.Close()
			}
		}()
	}
	return set, listeners[2:]
}

// attack is a stack that may call only publicAddr, with hostile names in its name server and proxies in its
// environment.
type attack struct {
	*apiClient
	trap, proxy *trap
	public      *recorder // /to/N redirects to destination N of the table
	table       []egresstest.Destination
	db          *pgx.Conn
}

func startAttack(t *testing.T) *attack {
	t.Helper()
	a := &attack{public: &recorder{}}
	a.proxy, _ = setTrap(t)
	// The trap and the allowed receiver have the same port, so only the address tells them apart.
	trapped, open := setTrap(t, publicAddr)
	a.trap, a.table = trapped, egresstest.Destinations(trapped.port)
	a.public.script = []http.HandlerFunc{a.answer}
	server := &http.Server{Handler: a.public, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(open[0]) }() // Close ends it
	t.Cleanup(func() { require.NoError(t, server.Close()) })

	known := egresstest.Known(a.table)
	known["public.test"] = [][]string{{publicAddr}}
	known["mixed.test"] = [][]string{{"10.0.0.1", "127.0.0.1", publicAddr, "::1"}}
	known["rebound.test"] = [][]string{{publicAddr}, {"127.0.0.1"}}
	nameServer, err := egresstest.NewNameServer(known).ListenAndServe(t.Context())
	require.NoError(t, err)

	flags, err := freeFlags(t.Context())
	require.NoError(t, err)
	var environment []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		environment = append(environment, name+"=http://127.0.0.1:"+a.proxy.port)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// An allowed range replaces loopback, which the dev stack allows by default.
	s, err := launchWith(ctx, environment, t.TempDir(), append(flags, "--no-receiver", "--allow-http", "--allow-destinations="+publicAddr+"/32",
		"--name-server="+nameServer, "--retry-schedule=10ms,10ms,10ms,10ms")...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.stop()) })
	a.apiClient = clientOf(t, s)
	a.db, err = pgx.Connect(t.Context(), s.ready["postgres"])
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.db.Close(context.WithoutCancel(t.Context()))) })
	return a
}

func (a *attack) answer(w http.ResponseWriter, r *http.Request) {
	var n int
	switch {
	case r.URL.Path == "/unavailable":
		w.Header().Set("Connection", "close") // makes the next attempt resolve the name again
		w.WriteHeader(http.StatusServiceUnavailable)
	case strings.HasPrefix(r.URL.Path, "/to/"):
		if _, err := fmt.Sscanf(r.URL.Path, "/to/%d", &n); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		codes := []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}
		w.Header().Set("Location", a.table[n].URL)
		w.WriteHeader(codes[n%len(codes)])
	}
}

// Spec 8 on the running stack: no packet goes to any destination of the table, at create, update, test or delivery,
// however the URL got into the store, and neither by redirect nor by proxy. This test runs before the parallel
// ones, because some of those are sensitive to timing.
func TestNothingReachesHostileDestinations(t *testing.T) {
	a := startAttack(t)
	a.do(http.MethodPut, "/v1/event-types/attack", object{}, http.StatusCreated)
	a.do(http.MethodPut, "/v1/event-types/redirect", object{}, http.StatusCreated)
	type target struct{ standard, commenda, redirected, momento string }
	targets := make([]target, len(a.table))

	// Try each destination on every surface. Where the API refuses it, write it to the store directly, like a
	// webhook stored while its range was allowed.
	var group errgroup.Group
	group.SetLimit(4)
	for i := range a.table {
		group.Go(func() error {
			d, w := &a.table[i], &targets[i]
			var err error
			if w.standard, err = a.plant("standard", d, i); err != nil {
				return err
			}
			if w.commenda, err = a.plant("commenda", d, i); err != nil {
				return err
			}
			if w.momento, err = a.plant("momento", d, i); err != nil {
				return err
			}
			var answer object
			_, answer, err = a.try(http.MethodPost, "/v1/webhooks", object{
				"url": fmt.Sprintf("http://public.test:%s/to/%d", a.trap.port, i), "events": []string{"redirect"}, "max_attempts": 1,
			})
			w.redirected, _ = answer["id"].(string)
			return err
		})
	}
	require.NoError(t, group.Wait())
	for i := range a.table {
		for _, text := range []string{targets[i].standard, targets[i].commenda} {
			id, err := hook.ParseWebhookID(text)
			require.NoError(t, err)
			_, err = a.db.Exec(t.Context(), `update webhooks set url = $1 where id = $2`, a.table[i].URL, [16]byte(id))
			require.NoError(t, err)
		}
		_, err := a.db.Exec(t.Context(), `update webhooks set url = $1 where profile = 'momento' and name = $2`, a.table[i].URL, targets[i].momento)
		require.NoError(t, err)
	}

	// Requests to allowed destinations succeed, so the names and the proxies are in effect.
	for name, want := range map[string]object{
		"public":  {"status": "success", "attempts": 1.0},
		"mixed":   {"status": "success", "attempts": 1.0},
		"rebound": {"status": "failed", "attempts": 2.0, "error": egresstest.Unknown, "status_code": 503.0},
	} {
		path := map[string]string{"rebound": "/unavailable"}[name]
		id, eventType := a.webhook("http://"+name+".test:"+a.trap.port+path, object{"max_attempts": 2})
		a.publish(eventType, object{})
		got := a.settled(id)
		for member, value := range want {
			require.Equal(t, value, got[member], "%s of %s: %v", member, name, got)
		}
	}
	reached := len(a.public.requests())
	require.Equal(t, 3, reached)

	// Deliveries: two events and one message go to all webhooks of the table.
	require.EqualValues(t, 2*len(a.table), a.do(http.MethodPost, "/v1/events", object{"type": "attack", "data": object{}}, http.StatusAccepted)["deliveries"])
	require.EqualValues(t, len(a.table), a.do(http.MethodPost, "/v1/events", object{"type": "redirect", "data": object{}}, http.StatusAccepted)["deliveries"])
	code, _, err := a.send(t.Context(), http.MethodPost, "/topics/attack/attack", "text/plain", []byte("hello"))
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, code)
	for i := range a.table {
		d := &a.table[i]
		for surface, path := range map[string]string{
			"standard": "/v1/webhooks/" + targets[i].standard, "commenda": "/v1/webhooks/" + targets[i].commenda,
			"momento": "/caches/attack/webhooks/" + targets[i].momento,
		} {
			a.requireRefused(t, a.settledAt(path), d, surface)
		}
		redirected := a.settledAt("/v1/webhooks/" + targets[i].redirected)
		require.Contains(t, redirected["error"], "HTTP 30", d.Name)
		require.EqualValues(t, 1, redirected["attempts"], d.Name)
	}
	require.Len(t, a.public.requests(), reached+len(a.table), "each redirect was answered once, none followed")

	// Test deliveries: the test operations of both surfaces.
	group = errgroup.Group{}
	group.SetLimit(8)
	var mu sync.Mutex
	tested := map[int][]object{}
	for i := range a.table {
		group.Go(func() error {
			code, one, err := a.byHand("/v1/webhooks/" + targets[i].standard + "/test")
			if err != nil || code != http.StatusOK {
				return fmt.Errorf("test of %s: %d %v: %w", a.table[i].Name, code, one, err)
			}
			code, two, err := a.byHand("/webhooks/test/trigger/" + targets[i].commenda)
			if err != nil || code != http.StatusOK {
				return fmt.Errorf("test of %s: %d %v: %w", a.table[i].Name, code, two, err)
			}
			mu.Lock()
			defer mu.Unlock()
			tested[i] = []object{one, two["data"].(object)}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	for i, deliveries := range tested {
		for _, delivery := range deliveries {
			require.Equal(t, a.table[i].Told(), delivery["error"], a.table[i].Name)
		}
	}
	require.Len(t, tested, len(a.table))
	require.Zero(t, a.trap.conns.Load(), "connections to where none may go")
	require.Zero(t, a.proxy.conns.Load(), "connections to the environment's proxy")
}

// byHand sends a test delivery, and tries again while the tenant's limit for tests is exceeded.
func (a *attack) byHand(path string) (code int, out object, err error) {
	for deadline := time.Now().Add(eventually); ; {
		code, out, err = a.try(http.MethodPost, path, nil)
		if err != nil || code != http.StatusTooManyRequests || time.Now().After(deadline) {
			return code, out, err
		}
		if err := wait.For(a.t.Context(), stack.PollInterval); err != nil {
			return code, out, err
		}
	}
}

// plant creates and updates a webhook on a surface with the destination, which must be refused unless it is a name,
// and returns the id of a webhook that attacks it.
func (a *attack) plant(surface string, d *egresstest.Destination, n int) (string, error) {
	const fine = "https://example.com/"
	name := fmt.Sprintf("w%d", n)
	create := func(url string) (int, object, error) {
		switch surface {
		case "momento":
			return a.try(http.MethodPut, "/caches/attack/webhooks/"+name, object{"destination": object{"postUrl": url}, "topicName": "attack"})
		case "commenda":
			return a.try(http.MethodPost, "/webhooks", object{"url": url, "topics": []string{"attack"}})
		default:
			return a.try(http.MethodPost, "/v1/webhooks", object{"url": url, "events": []string{"attack"}, "max_attempts": 2})
		}
	}
	want := func(when string, code int, answer object) error {
		field := map[string]string{"momento": "body.destination.postUrl"}[surface]
		if field == "" {
			field = "body.url"
		}
		text := fmt.Sprint(answer["errors"])
		switch {
		case d.Refusal == "" && code/100 == 2:
			return nil
		case d.Refusal != "" && code == http.StatusUnprocessableEntity && strings.Contains(text, field) && strings.Contains(text, d.Refusal):
			return nil
		default:
			return fmt.Errorf("%s of %s (%s): %d %v", when, d.Name, surface, code, answer)
		}
	}
	idOf := func(answer object) string {
		if data, ok := answer["data"].(object); ok {
			answer = data
		}
		id, _ := answer["id"].(string)
		return id
	}
	code, answer, err := create(d.URL)
	if err == nil {
		err = want("create", code, answer)
	}
	if err != nil {
		return "", err
	}
	if code != http.StatusUnprocessableEntity {
		if surface == "momento" {
			return name, nil
		}
		return idOf(answer), nil
	}
	if code, answer, err = create(fine); err != nil || code/100 != 2 {
		return "", fmt.Errorf("create of %s: %d %v: %w", fine, code, answer, err)
	}
	id := idOf(answer)
	switch surface {
	case "momento":
		id = name
		code, answer, err = create(d.URL)
	case "commenda":
		code, answer, err = a.try(http.MethodPost, "/webhooks/"+id, object{"url": d.URL})
	default:
		code, answer, err = a.try(http.MethodPatch, "/v1/webhooks/"+id, object{"url": d.URL})
	}
	if err == nil {
		err = want("update", code, answer)
	}
	return id, err
}

// settledAt waits until no attempt of the newest delivery at a path is pending, and returns that delivery.
func (a *attack) settledAt(path string) object {
	a.t.Helper()
	var d object
	waitFor(a.t, "the delivery at "+path+" to settle", func() bool {
		list := a.do(http.MethodGet, path+"/deliveries", nil, http.StatusOK)["deliveries"].([]any)
		if len(list) == 0 {
			return false
		}
		d = list[0].(object)
		_, more := d["next_attempt_at"]
		_, waits := d["waiting"]
		return !more && !waits && d["status"] != "pending"
	})
	return d
}

// requireRefused checks that a delivery and its attempts failed as the table says.
func (a *attack) requireRefused(t *testing.T, delivery object, d *egresstest.Destination, surface string) {
	t.Helper()
	require.Equal(t, "failed", delivery["status"], "%s (%s)", d.Name, surface)
	require.Equal(t, d.Told(), delivery["error"], "%s (%s)", d.Name, surface)
	require.NotContains(t, delivery, "status_code", "%s (%s)", d.Name, surface)
	log := a.do(http.MethodGet, "/v1/deliveries/"+delivery["id"].(string), nil, http.StatusOK)["attempt_log"].([]any)
	require.Len(t, log, map[string]int{"standard": 2, "commenda": 5, "momento": 1}[surface], "%s (%s)", d.Name, surface)
	for _, entry := range log {
		attempt := entry.(object)
		require.Equal(t, d.URL, attempt["request"].(object)["url"])
		require.NotContains(t, attempt, "remote_address", "%s (%s)", d.Name, surface)
		require.NotContains(t, attempt, "response", "%s (%s)", d.Name, surface)
	}
}
