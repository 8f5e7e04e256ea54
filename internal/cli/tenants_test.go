package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// K3: --tenant names the tenant in every request, and without it nothing does.
func TestTenantIsNamed(t *testing.T) {
	t.Parallel()
	seen := make(chan []string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Values("Grapnel-Tenant")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"webhooks":[],"next_cursor":null}`))
	}))
	t.Cleanup(server.Close)
	require.Zero(t, command(t, "", "webhooks", "list", "--tenant=acme/1", "--url="+server.URL).code())
	require.Equal(t, []string{"acme/1"}, <-seen)
	require.Zero(t, command(t, "", "webhooks", "list", "--url="+server.URL).code())
	require.Empty(t, <-seen)
}

// tenantsCommand runs a command on tenants, which package main embeds.
func tenantsCommand(t *testing.T, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	var c TenantCommands
	parser, err := kong.New(&c, kong.Name("grapnel tenants"), kong.Bind(Streams{In: strings.NewReader(""), Out: &out, Err: &errs}), kong.BindTo(t.Context(), (*context.Context)(nil)),
		kong.ExplicitGroups([]kong.Group{{Key: "api"}}))
	require.NoError(t, err)
	parsed, err := parser.Parse(args)
	if err == nil {
		err = parsed.Run()
	}
	return ran{out.String(), errs.String(), err}
}

// K10: the usage of one tenant, and of all.
func TestTenantsUsage(t *testing.T) {
	t.Parallel()
	const period = `{"tenant_id":"ten_00000000007000g00000000001","external_id":"acme","start":"2026-01-14T00:00:00Z","events":1,"deliveries":2,"attempts":3,"successes":2,"failures":1,"bytes":100}`
	const one = `{"since":"2026-01-14T00:00:00Z","until":"2026-01-16T00:00:00Z","by":"day","total":{"events":1,"deliveries":2,"attempts":3,"successes":2,"failures":1,"bytes":100},
		"periods":[` + period + `],"next_cursor":null}`
	const all = `{"since":"2026-01-14T00:00:00Z","until":"2026-01-16T00:00:00Z","by":"hour","periods":[` + period + `],"next_cursor":"AXUB"}`
	flag, last := asked(t, one)
	r := tenantsCommand(t, "usage", "acme/1", flag)
	require.NoError(t, r.failed)
	require.Equal(t, "/v1/tenants/acme%2F1/usage", last.EscapedPath())
	require.Regexp(t, `START +EVENTS +DELIVERIES +ATTEMPTS +SUCCESSES +FAILURES +BYTES\n2026-01-14 00:00:00Z +1 +2 +3 +2 +1 +100\ntotal +1 +2 +3 +2 +1 +100\n`, r.out)

	flag, last = asked(t, all)
	r = tenantsCommand(t, "usage", "--all", "--by=hour", "--since=2026-01-14T00:00:00Z", "--until=2026-01-16T00:00:00Z", "--limit=5", "--cursor=x", flag)
	require.NoError(t, r.failed)
	require.Equal(t, "/v1/tenants/*/usage", last.Path)
	require.Equal(t, url.Values{
		"by": {"hour"}, "since": {"2026-01-14T00:00:00Z"}, "until": {"2026-01-16T00:00:00Z"}, "limit": {"5"}, "cursor": {"x"},
	}, last.Query())
	require.Regexp(t, `TENANT +EXTERNAL ID +START .*\nten_00000000007000g00000000001 +acme +2026-01-14 00:00:00Z +1 +2 +3 +2 +1 +100\n`, r.out)
	require.Equal(t, "more entries: --cursor=AXUB\n", r.err)
	require.JSONEq(t, all, tenantsCommand(t, "usage", "--all", "--json", flag).out)
	for _, args := range [][]string{{"usage"}, {"usage", "acme", "--all"}} {
		require.Equal(t, codeWrong, tenantsCommand(t, append(args, flag)...).code())
	}
}

// K4: lists over all tenants say whose each entry is.
func TestListsNameTheTenant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, answer string }{
		{"deliveries list", `{"deliveries":[` + strings.Replace(searchedDelivery, `{`, `{"tenant_id":"ten_1",`, 1) + `],"next_cursor":null}`},
		{"events list", `{"events":[{"id":"evt_1","tenant_id":"ten_1","type":"user.created","created_at":"2026-01-15T12:30:00Z","data":1,"delivery_count":1}],"next_cursor":null}`},
		{"audit", strings.ReplaceAll(auditLog, "ten_00000000007000g00000000001", "ten_1")},
	} {
		r := command(t, "", append(strings.Fields(c.args), "--tenant=*", answering(t, http.StatusOK, "application/json", c.answer))...)
		require.NoError(t, r.failed)
		require.Regexp(t, `^TENANT +\w+ [^\n]*\nten_1 `, r.out)
		require.NotContains(t, command(t, "", append(strings.Fields(c.args), answering(t, http.StatusOK, "application/json", strings.Replace(c.answer, `"tenant_id":"ten_1",`, "", 1)))...).out, "TENANT")
	}
}

// K8: deleting a tenant must be confirmed with its name, or by --yes, and --wait shows the progress until it is gone.
func TestDeleteTenantIsConfirmed(t *testing.T) {
	t.Parallel()
	deleted := 0
	const tenant = `{"id":"ten_01kab1s6rzfkqbzry2kztmfpx1","name":"Acme","status":"deleting","metadata":{},"limits":{},"created_at":"2026-01-15T12:00:00Z",` +
		`"updated_at":"2026-01-15T12:00:00Z","deletion":{"requested_at":"2026-01-15T12:00:00Z","updated_at":"2026-01-15T12:00:00Z","phase":"erasing","webhooks":3,` +
		`"canceled":1,"erased":2,"deliveries":5,"workflow_id":"ten_01kab1s6rzfkqbzry2kztmfpx1-delete"}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodDelete:
			deleted++
			w.WriteHeader(http.StatusAccepted)
		case deleted > 0 && r.URL.Path != "/v1/tenants/acme":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(problem(t, http.StatusNotFound, "TENANT_NOT_FOUND", "tenant not found")))
			return
		}
		_, _ = w.Write([]byte(tenant))
	}))
	t.Cleanup(server.Close)
	url := "--url=" + server.URL
	for _, typed := range []string{"", "acme\n", "\n"} {
		r := command(t, typed, "tenants", "delete", "acme", url)
		require.NotZero(t, r.code())
		require.Contains(t, r.err, "Acme (ten_01kab1s6rzfkqbzry2kztmfpx1)")
	}
	require.Zero(t, deleted)
	r := command(t, "Acme\n", "tenants", "delete", "acme", url)
	require.Zero(t, r.code(), r.err)
	require.Contains(t, r.out, "erasing: 3 webhooks, 2 events and 5 deliveries deleted")
	require.Equal(t, 1, deleted)
	r = command(t, "", "tenants", "delete", "acme", "--yes", "--wait", url)
	require.Zero(t, r.code(), r.err)
	require.Contains(t, r.err, "erasing: 3 webhooks")
	require.Equal(t, "ten_01kab1s6rzfkqbzry2kztmfpx1 deleted\n", r.out)
}

// K8: suspending and resuming change the status.
func TestTenantStatus(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		seen <- r.Method + " " + r.URL.Path + " " + string(text)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"ten_1","name":"Acme","status":"active","metadata":{},"limits":{},"created_at":"2026-01-15T12:00:00Z","updated_at":"2026-01-15T12:00:00Z"}`))
	}))
	t.Cleanup(server.Close)
	for verb, status := range map[string]string{"suspend": "suspended", "resume": "active"} {
		require.Zero(t, command(t, "", "tenants", verb, "acme", "--url="+server.URL).code())
		require.Equal(t, `PATCH /v1/tenants/acme {"status":"`+status+`"}`, <-seen)
	}
}
