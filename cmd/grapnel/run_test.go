package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
	"grapnel/internal/secrets"
	"grapnel/storage"
	"grapnel/storage/pgtemplate"
)

// grapnel runs the command line and returns what it printed.
func grapnel(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var stdout bytes.Buffer
	err := run(t.Context(), args, &stdout)
	return stdout.String(), err
}

func succeed(t *testing.T, args ...string) string {
	t.Helper()
	out, err := grapnel(t, args...)
	require.NoError(t, err)
	return out
}

// encryptionKey returns a key in the form of openssl rand -base64 32.
func encryptionKey() string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, secrets.KeySize))
}

func migrated(t *testing.T) string {
	t.Helper()
	return pgtest.New(t, pgtemplate.Whole())
}

func TestVersion(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^grapnel devel(, commit [0-9a-f]{12})?(, \S+)?\n$`, succeed(t, "version"))
}

// A release shows the values that it was built with; another build shows Go's build information.
func TestDescribeBuild(t *testing.T) { //nolint:paralleltest // it sets global variables
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}, {Key: "vcs.time", Value: "2026-11-30T01:02:03Z"},
	}}
	require.Equal(t, "devel", describeBuild(nil))
	require.Equal(t, "devel, commit 0123456789ab, 2026-11-30T01:02:03Z", describeBuild(info))
	t.Cleanup(func() { releaseVersion, releaseCommit, releaseDate = "", "", "" })
	releaseVersion, releaseCommit, releaseDate = "1.2.3", "fedcba9876543210", "2026-12-01T00:00:00Z"
	require.Equal(t, "1.2.3, commit fedcba987654, 2026-12-01T00:00:00Z", describeBuild(info))
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args    []string
		version string
		decode  func([]byte, any) error
	}{
		{nil, "3.1.0", yaml.Unmarshal},
		{[]string{"--version", "3.1", "--format", "yaml"}, "3.1.0", yaml.Unmarshal},
		{[]string{"--version", "3.0"}, "3.0.3", yaml.Unmarshal},
		{[]string{"--format", "json"}, "3.1.0", json.Unmarshal},
		{[]string{"--version", "3.0", "--format", "json"}, "3.0.3", json.Unmarshal},
	} {
		var doc struct {
			OpenAPI string         `json:"openapi"`
			Paths   map[string]any `json:"paths"`
		}
		require.NoError(t, c.decode([]byte(succeed(t, append([]string{"openapi"}, c.args...)...)), &doc))
		require.Equal(t, c.version, doc.OpenAPI)
		require.Contains(t, doc.Paths, "/v1/webhooks")
	}
	_, err := grapnel(t, "openapi", "--version", "2.0")
	require.ErrorContains(t, err, "--version")
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{},
		{"nothing"},
		{"version", "--nothing"},
		{"keys"},
		{"keys", "revoke"},
		{"openapi", "--format", "toml"},
		{"serve", "--api-adr", "x"},
		{"worker", "--api-addr", "127.0.0.1:8080"},
		{"worker", "--admin-key", "x"},
	} {
		_, err := grapnel(t, args...)
		require.Error(t, err, "%v", args)
	}
}

func TestHelpIsTheReference(t *testing.T) {
	t.Parallel()
	out := succeed(t, "--help")
	for _, command := range []string{"serve", "api", "worker", "migrate", "openapi", "keys", "tenants", "secrets", "healthcheck", "version", "webhooks", "events", "deliveries", "listen", "verify", "completion", "Exit codes:"} {
		require.Contains(t, out, command)
	}
	out = succeed(t, "serve", "--help")
	for _, text := range []string{
		"--api-addr", "127.0.0.1:8080", "$GRAPNEL_API_ADDR", "--database-url", "$DATABASE_URL", "--retry-schedule", "30s,5m,30m,2h",
		"--allow-destinations", "--allow-http", "--encryption-key", "--admin-key", "$GRAPNEL_ADMIN_KEY", "--max-events-per-workflow",
		"--retention", "--shutdown-timeout", "--drain-delay", "--metrics-addr", "127.0.0.1:9464",
		"Allow http URLs for Commenda webhooks",
	} {
		require.Contains(t, strings.Join(strings.Fields(out), " "), text)
	}
}

// Scripts rely on these flags; every command that should have them does.
func TestFlagsThatScriptsRelyOn(t *testing.T) {
	t.Parallel()
	shared := []string{
		"--database-url=postgres://grapnel:hush@127.0.0.1/grapnel", "--retry-schedule=1s,2s", "--allow-destinations=127.0.0.0/8,::1/128",
		"--allow-http", "--encryption-key=" + encryptionKey() + "," + encryptionKey(), "--max-events-per-workflow=1", "--retention=24h",
	}
	only := []string{"--api-addr=127.0.0.1:0", "--admin-key=" + strings.Repeat("k", 20), "--auth=none"}
	for command, flags := range map[string][]string{
		"serve": append(only, shared...), "api": append(only, shared...), "worker": shared,
	} {
		// The only error is that of this one flag.
		_, err := grapnel(t, append([]string{command, "--shutdown-timeout=1ms"}, flags...)...)
		require.EqualError(t, err, command+": --shutdown-timeout 1ms: want at least 1s")
	}
}

// All invalid settings are reported together.
func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	shared := map[string]string{
		"--encryption-key=aHVzaA==":   "--encryption-key",
		"--retry-schedule=5m,30s":     "--retry-schedule",
		"--max-events-per-workflow=0": "--max-events-per-workflow 0",
		"--retention=1h":              "--retention 1h0m0s",
		"--shutdown-timeout=0s":       "--shutdown-timeout 0s",
		"--metrics-addr=nowhere":      `--metrics-addr "nowhere"`,
	}
	only := map[string]string{
		"--api-addr=nowhere":   `--api-addr "nowhere"`,
		"--admin-key=hush":     "--admin-key: want at least 20",
		"--temporal-ui-url=ui": `--temporal-ui-url "ui"`,
		"--max-body=1048577":   "--max-body 1048577",
		"--drain-delay=-1s":    "--drain-delay -1s",
	}
	for _, command := range []string{"serve", "api", "worker"} {
		args, want := []string{command}, []string{"--database-url"}
		for flag, text := range shared {
			args, want = append(args, flag), append(want, text)
		}
		for flag, text := range only {
			if command != "worker" {
				args, want = append(args, flag), append(want, text)
			}
		}
		_, err := grapnel(t, args...)
		for _, text := range want {
			require.ErrorContains(t, err, text, command)
		}
		require.NotContains(t, err.Error(), "hush")
		require.NotContains(t, err.Error(), "aHVzaA")
	}
}

// Spec 7: --auth=none refuses to bind beyond loopback.
func TestAuthNoneStaysAtHome(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":8080", "0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080", "grapnel.example:8080", "127.0.0.1.example:8080"} {
		for _, command := range []string{"serve", "api"} {
			_, err := grapnel(t, command, "--auth=none", "--api-addr", addr, "--database-url=postgres:///x", "--encryption-key="+encryptionKey())
			require.ErrorContains(t, err, "--auth=none needs a loopback address", addr)
		}
	}
}

// Each flag can be set by an environment variable.
func TestEnvironment(t *testing.T) {
	for name, c := range map[string]struct{ value, want string }{
		"GRAPNEL_API_ADDR":                              {"nowhere", `--api-addr "nowhere"`},
		"GRAPNEL_ADMIN_KEY":                             {"hush", "--admin-key: want at least"},
		"GRAPNEL_AUTH":                                  {"some", "--auth"},
		"GRAPNEL_TEMPORAL_UI_URL":                       {"ui", `--temporal-ui-url "ui"`},
		"GRAPNEL_MAX_BODY":                              {"5", "--max-body 5"},
		"GRAPNEL_ENCRYPTION_KEY":                        {"hush", "--encryption-key: "},
		"GRAPNEL_RETRY_SCHEDULE":                        {"5m,30s", "--retry-schedule"},
		"GRAPNEL_ALLOW_DESTINATIONS":                    {"nets", "--allow-destinations"},
		"GRAPNEL_ALLOW_HTTP":                            {"maybe", "--allow-http"},
		"GRAPNEL_MAX_EVENTS_PER_WORKFLOW":               {"0", "--max-events-per-workflow 0"},
		"GRAPNEL_RETENTION":                             {"1h", "--retention 1h"},
		"GRAPNEL_SHUTDOWN_TIMEOUT":                      {"1ms", "--shutdown-timeout 1ms"},
		"GRAPNEL_DRAIN_DELAY":                           {"-1s", "--drain-delay -1s"},
		"GRAPNEL_TOPIC_RETENTION":                       {"0s", "--topic-retention 0s"},
		"GRAPNEL_TOPIC_MESSAGES":                        {"0", "--topic-messages 0"},
		"GRAPNEL_METRICS_ADDR":                          {"nowhere", `--metrics-addr "nowhere"`},
		"GRAPNEL_LOG_LEVEL":                             {"loud", "--log-level"},
		"GRAPNEL_LOG_FORMAT":                            {"xml", "--log-format"},
		"GRAPNEL_DISABLE_WEBHOOK_AFTER_FAILED_DELIVERY": {"maybe", "--disable-webhook-after-failed-delivery"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, c.value)
			_, err := grapnel(t, "serve", "--database-url=postgres:///x")
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hush")
		})
	}
}

// Without a database the list of tenants comes from the API.
func TestTenantsOfTheAPI(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"tenants":[{"id":"ten_00000000000000000000000001","name":"` + r.Header.Get("Authorization") + `","status":"active"}]}`)) // to the client
	}))
	t.Cleanup(server.Close)
	require.Contains(t, succeed(t, "tenants", "list", "--url="+server.URL, "--key=gk_x"), "Bearer gk_x")
}

// Spec 7: the CLI can create tenants, each with a valid key.
func TestTenants(t *testing.T) {
	t.Parallel()
	database := "--database-url=" + migrated(t)
	out := strings.Fields(succeed(t, "tenants", "create", "acme", database))
	require.Len(t, out, 2)
	require.Regexp(t, `^ten_`, out[0])
	require.Regexp(t, `^gk_`, out[1])
	list := succeed(t, "tenants", "list", database)
	require.Contains(t, list, out[0]+"  acme")
	require.Contains(t, list, "default")
	require.NotContains(t, list, out[1])
	require.Contains(t, succeed(t, "keys", "list", "--tenant=acme", database), "first key")
	again := strings.Fields(succeed(t, "tenants", "create", "acme", "--external-id=acme-1", database))
	require.NotEqual(t, out[0], again[0], "names need not be unique")
	require.Contains(t, succeed(t, "tenants", "list", database), "acme-1")
	for _, name := range []string{"acme-1", again[0]} {
		require.Contains(t, succeed(t, "keys", "list", "--tenant="+name, database), "first key")
	}
	_, err := grapnel(t, "keys", "list", "--tenant=acme", database)
	require.ErrorContains(t, err, "several tenants")
	_, err = grapnel(t, "tenants", "create", "other", "--external-id=acme-1", database)
	require.Error(t, err)
	platform := succeed(t, "keys", "create", "--name=backend", "--scopes=publish,platform", database)
	require.Contains(t, succeed(t, "keys", "list", database), strings.Fields(platform)[0])
	_, err = grapnel(t, "keys", "create", "--name=backend", "--scopes=publish,platform", "--tenant=acme-1", database)
	require.Error(t, err)
	for _, name := range []string{"", " x", strings.Repeat("x", 101)} {
		_, err := grapnel(t, "tenants", "create", name, database)
		require.Error(t, err, name)
	}
}

func TestDatabaseURLFromTheEnvironment(t *testing.T) {
	t.Setenv("DATABASE_URL", migrated(t))
	require.Contains(t, succeed(t, "keys", "list"), "ID")
	t.Setenv("GRAPNEL_DATABASE_URL", "postgres://127.0.0.1:1/nothing")
	_, err := grapnel(t, "keys", "list")
	require.Error(t, err, "GRAPNEL_DATABASE_URL has precedence over DATABASE_URL")
	require.Contains(t, succeed(t, "keys", "list", "--database-url", pgtestURL(t)), "ID", "a flag has precedence over both")
}

// pgtestURL returns the URL of another migrated database.
func pgtestURL(t *testing.T) string {
	t.Helper()
	return migrated(t)
}

// Spec 7: secrets are not printed.
func TestSecretsAreNotPrinted(t *testing.T) {
	const hush = "hush-hush-hush-hush-hush"
	t.Setenv("GRAPNEL_ADMIN_KEY", hush)
	t.Setenv("GRAPNEL_ENCRYPTION_KEY", hush)
	t.Setenv("DATABASE_URL", "postgres://user:"+hush+"@127.0.0.1:1/x")
	for _, args := range [][]string{
		{"serve", "--help"},
		{"api", "--help"},
		{"worker", "--help"},
		{"migrate", "--help"},
		{"keys", "list", "--help"},
		{"serve"},
		{"worker", "--shutdown-timeout=x"},
		{"migrate"},
		{"keys", "list"},
		{"migrate", "--database-url=postgres://user:" + hush + "@host:port/x"},
		{"keys", "list", "--database-url=postgres://user:" + hush + "@host:port/x"},
		{"keys", "list", "--database-url=host=127.0.0.1 port=1 password=" + hush + " sslmode=nonsense"},
		{"migrate", "--database-url=postgres://user:" + hush + "@%zz/x"},
		{"migrate", "--direct-database-url=postgres://user:" + hush + "@%zz/x"},
		{"worker", "--encryption-key=" + encryptionKey(), "--direct-database-url=postgres://user:" + hush + "@%zz/x"},
	} {
		out, err := grapnel(t, args...)
		if args[len(args)-1] != "--help" {
			require.Error(t, err, "%v", args)
			require.NotContains(t, err.Error(), hush, "%v", args)
		}
		require.NotContains(t, out, hush, "%v", args)
	}
}

func TestDatabaseIsRequired(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"migrate"}, {"keys", "list"}, {"keys", "create", "--name=x", "--scopes=read"}, {"keys", "revoke", hook.KeyID{}.String()},
	} {
		_, err := grapnel(t, args...)
		require.ErrorContains(t, err, "--database-url (DATABASE_URL) is required", "%v", args)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	if longtest.On() {
		url = pgtest.New(t, pgtest.Template{})
		require.Regexp(t, `^[1-9][0-9]* migrations run; the database is up to date\n$`, succeed(t, "migrate", "--database-url", url))
	}
	require.Equal(t, "0 migrations run; the database is up to date\n", succeed(t, "migrate", "--database-url", url))
	// migrate connects past a pooler with --direct-database-url.
	require.Equal(t, "0 migrations run; the database is up to date\n", succeed(t, "migrate", "--database-url=postgres://127.0.0.1:1/x", "--direct-database-url", url))
}

func TestKeys(t *testing.T) {
	t.Parallel()
	at := "--database-url=" + migrated(t)
	require.Equal(t, []string{"ID", "NAME", "SCOPES", "CREATED", "STATE"}, strings.Fields(succeed(t, "keys", "list", at)))

	lines := strings.Fields(succeed(t, "keys", "create", at, "--name=ci", "--scopes=publish,read", "--topics=user.*", "--token-id=mo", "--expires-in=24h"))
	require.Len(t, lines, 2)
	id, text := lines[0], lines[1]
	require.Regexp(t, `^key_[0-7][0-9a-hjkmnp-tv-z]{25}$`, id)
	require.Regexp(t, `^gk_[a-z2-7]{52}$`, text)
	list := succeed(t, "keys", "list", at)
	require.Regexp(t, id+` +ci +\[publish read\] +\S+Z +valid\n$`, list)
	require.NotContains(t, list, text)

	// The API reads the same store.
	box, err := secrets.New(encryptionKey())
	require.NoError(t, err)
	store, err := storage.Open(t.Context(), storage.Config{URL: strings.TrimPrefix(at, "--database-url="), Box: box})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	found, err := store.Authenticate(t.Context(), hook.HashKey(hook.Secret(text)), "")
	require.NoError(t, err)
	key := found.Key
	require.Equal(t, hook.DefaultTenant(), key.TenantID)
	require.Equal(t, []hook.Scope{hook.ScopePublish, hook.ScopeRead}, key.Scopes)
	require.Equal(t, []string{"user.*"}, key.Topics)
	require.Equal(t, "mo", key.TokenID)

	require.Equal(t, id+" revoked\n", succeed(t, "keys", "revoke", at, id))
	require.Regexp(t, ` revoked\n$`, succeed(t, "keys", "list", at))
	_, err = store.Authenticate(t.Context(), hook.HashKey(hook.Secret(text)), "")
	require.Equal(t, hook.KindNotFound, hook.KindOf(err))
}

func TestKeysRefusals(t *testing.T) {
	t.Parallel()
	at := "--database-url=" + migrated(t)
	for _, args := range [][]string{
		{"create"},
		{"create", "--name=x"},
		{"create", "--name=x", "--scopes=root"},
		{"create", "--name=", "--scopes=read"},
		{"create", "--name=x", "--scopes=read", "--expires-in=-1h"},
		{"create", "--name=x", "--scopes=read", "--tenant=nobody"},
		{"revoke", "key_1"},
		{"revoke", hook.KeyID{1}.String()},
		{"list", "--tenant=nobody"},
	} {
		_, err := grapnel(t, append([]string{"keys"}, append(args, at)...)...)
		require.Error(t, err, "%v", args)
	}
	require.Len(t, strings.Split(strings.TrimSpace(succeed(t, "keys", "list", at)), "\n"), 1)
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			status = http.StatusTeapot
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	addr := server.Listener.Addr().String()
	succeed(t, "healthcheck", "--api-addr", addr)
	_, port, _ := strings.Cut(addr, ":")
	for _, any := range []string{":", "0.0.0.0:", "localhost:"} {
		succeed(t, "healthcheck", "--api-addr", any+port)
	}
	status = http.StatusInternalServerError
	_, err := grapnel(t, "healthcheck", "--api-addr", addr)
	require.ErrorContains(t, err, "500")
	_, err = grapnel(t, "healthcheck", "--api-addr", "nowhere")
	require.ErrorContains(t, err, "--api-addr")
	_, err = grapnel(t, "healthcheck", "--worker", "--metrics-addr", addr)
	require.ErrorContains(t, err, "500")
	status = http.StatusOK
	succeed(t, "healthcheck", "--worker", "--metrics-addr", addr)
	_, err = grapnel(t, "healthcheck", "--worker", "--metrics-addr=")
	require.ErrorContains(t, err, "--metrics-addr")
}
