package config_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/config"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// valid returns a valid configuration: the defaults, and values for settings without one.
func valid() config.Config {
	return config.Config{
		Database: config.Database{DatabaseURL: "postgres:///grapnel"},
		Keys:     config.Keys{EncryptionKey: hook.Secret(key(1))},
		API:      config.API{APIAddr: "127.0.0.1:8080", Auth: "key", MaxBody: 102_400, TopicAge: 24 * time.Hour, TopicKeep: 10_000, MaxKeys: 100},
		Delivery: config.Delivery{RetrySchedule: hook.DefaultSchedule(), MaxEvents: 1, ReconcileAfter: 10 * time.Minute, Retention: 720 * time.Hour, AuditRetention: 9600 * time.Hour, UsageRetention: 9600 * time.Hour},
		Process:  config.Process{ShutdownTimeout: 45 * time.Second, MetricsAddr: "127.0.0.1:9464", LogLevel: "info", LogFormat: "json"},
	}
}

func key(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, secrets.KeySize))
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string // part of the error; "" if the configuration is valid
	}{
		"unchanged":               {func(*config.Config) {}, ""},
		"no database":             {func(c *config.Config) { c.DatabaseURL = "" }, "--database-url (DATABASE_URL) is required"},
		"no encryption key":       {func(c *config.Config) { c.EncryptionKey = "" }, "openssl rand -base64 32"},
		"short encryption key":    {func(c *config.Config) { c.EncryptionKey = "aHVzaA==" }, "--encryption-key: "},
		"two encryption keys":     {func(c *config.Config) { c.EncryptionKey = hook.Secret(key(1) + "," + key(2)) }, ""},
		"one of two keys broken":  {func(c *config.Config) { c.EncryptionKey = hook.Secret(key(1) + ",x") }, "--encryption-key: "},
		"address without a port":  {func(c *config.Config) { c.APIAddr = "127.0.0.1" }, `--api-addr "127.0.0.1": want host:port`},
		"everywhere":              {func(c *config.Config) { c.APIAddr = ":8080" }, ""},
		"no auth on loopback":     {func(c *config.Config) { c.Auth = "none" }, ""},
		"no auth on localhost":    {func(c *config.Config) { c.Auth, c.APIAddr = "none", "localhost:1" }, ""},
		"no auth on ::1":          {func(c *config.Config) { c.Auth, c.APIAddr = "none", "[::1]:1" }, ""},
		"no auth everywhere":      {func(c *config.Config) { c.Auth, c.APIAddr = "none", ":1" }, "--auth=none needs a loopback address"},
		"admin key of 19":         {func(c *config.Config) { c.AdminKey = hook.Secret(strings.Repeat("k", 19)) }, "at least 20"},
		"admin key of 20":         {func(c *config.Config) { c.AdminKey = hook.Secret(strings.Repeat("k", 20)) }, ""},
		"admin key with a space":  {func(c *config.Config) { c.AdminKey = hook.Secret(strings.Repeat("k ", 20)) }, "without spaces"},
		"admin key not ASCII":     {func(c *config.Config) { c.AdminKey = hook.Secret(strings.Repeat("é", 20)) }, "ASCII"},
		"web UI":                  {func(c *config.Config) { c.TemporalUI = "https://ui.example/" }, ""},
		"web UI without a scheme": {func(c *config.Config) { c.TemporalUI = "ui.example" }, "--temporal-ui-url"},
		"key limit of 1":          {func(c *config.Config) { c.KeyRate = 1 }, ""},
		"negative key limit":      {func(c *config.Config) { c.KeyRate = -1 }, "--key-rate-limit -1: want 0 or more"},
		"polls without a limit":   {func(c *config.Config) { c.MaxPolls = 0 }, ""},
		"no limits":               {func(c *config.Config) { c.MaxTypes, c.MaxMade = 0, 0 }, ""},
		"negative event types":    {func(c *config.Config) { c.MaxTypes = -1 }, "--max-event-types -1: want 0 or more"},
		"negative deliveries":     {func(c *config.Config) { c.MaxMade = -1 }, "--max-deliveries -1: want 0 or more"},
		"negative polls":          {func(c *config.Config) { c.MaxPolls = -1 }, "--max-polls -1: want 0 or more"},
		"no tenant limits":        {func(c *config.Config) { c.MaxHooks, c.MaxPublish = 0, 0 }, ""},
		"negative webhooks":       {func(c *config.Config) { c.MaxHooks = -1 }, "--tenant-max-webhooks -1: want 0 to 1000000"},
		"publish rate":            {func(c *config.Config) { c.MaxPublish = 1_000_001 }, "--tenant-publish-rate 1000001: want 0 to 1000000"},
		"negative tenant limit":   {func(c *config.Config) { c.TenantRate = -1 }, "--tenant-rate-limit -1: want 0 or more"},
		"negative tenant polls":   {func(c *config.Config) { c.TenantPoll = -1 }, "--tenant-max-polls -1: want 0 or more"},
		"no keys":                 {func(c *config.Config) { c.MaxKeys = 0 }, "--max-keys 0: want at least 1"},
		"public URL":              {func(c *config.Config) { c.PublicURL = "https://hooks.example" }, ""},
		"public URL, a name":      {func(c *config.Config) { c.PublicURL = "hooks.example" }, "--public-url"},
		"public URL, no host":     {func(c *config.Config) { c.PublicURL = "https:///v1" }, "--public-url"},
		"origins": {func(c *config.Config) {
			c.CORSOrigins, c.FrameAncestors = []string{"https://app.example.com", "http://localhost:3000", "http://[::1]:3000"}, []string{"https://app.example.com:8443"}
		}, ""},
		"frames everywhere":       {func(c *config.Config) { c.FrameAncestors = []string{"*"} }, `--frame-ancestors "*"`},
		"frames, a policy":        {func(c *config.Config) { c.FrameAncestors = []string{"https://a.example;script-src"} }, "--frame-ancestors"},
		"frames, a quote":         {func(c *config.Config) { c.FrameAncestors = []string{"'self'"} }, "--frame-ancestors"},
		"origin, all":             {func(c *config.Config) { c.CORSOrigins = []string{"*"} }, `--cors-origins "*"`},
		"origin, null":            {func(c *config.Config) { c.CORSOrigins = []string{"null"} }, "--cors-origins"},
		"origin with a path":      {func(c *config.Config) { c.CORSOrigins = []string{"https://app.example.com/"} }, "--cors-origins"},
		"origin in upper case":    {func(c *config.Config) { c.CORSOrigins = []string{"https://App.example.com"} }, "--cors-origins"},
		"origin with its port":    {func(c *config.Config) { c.CORSOrigins = []string{"https://app.example.com:443"} }, "--cors-origins"},
		"origin with a user":      {func(c *config.Config) { c.CORSOrigins = []string{"https://me@app.example.com"} }, "--cors-origins"},
		"origin of a file":        {func(c *config.Config) { c.CORSOrigins = []string{"file://x"} }, "--cors-origins"},
		"origin and no keys":      {func(c *config.Config) { c.Auth, c.CORSOrigins = "none", []string{"https://app.example.com"} }, "--cors-origins needs --auth=key"},
		"body of 1 MiB":           {func(c *config.Config) { c.MaxBody = 1 << 20 }, ""},
		"body over 1 MiB":         {func(c *config.Config) { c.MaxBody = 1<<20 + 1 }, "--max-body 1048577: want 1024 to 1048576"},
		"body of nothing":         {func(c *config.Config) { c.MaxBody = 0 }, "--max-body 0"},
		"no delays":               {func(c *config.Config) { c.RetrySchedule = nil }, "--retry-schedule"},
		"one delay":               {func(c *config.Config) { c.RetrySchedule = []time.Duration{time.Second} }, ""},
		"five delays":             {func(c *config.Config) { c.RetrySchedule = make([]time.Duration, 5) }, "1 to 4 delays"},
		"shorter delays":          {func(c *config.Config) { c.RetrySchedule = []time.Duration{2, 1} }, "must not get shorter"},
		"500 events per workflow": {func(c *config.Config) { c.MaxEvents = 500 }, ""},
		"501 events per workflow": {func(c *config.Config) { c.MaxEvents = 501 }, "--max-events-per-workflow 501: want 1 to 500"},
		"no events per workflow":  {func(c *config.Config) { c.MaxEvents = 0 }, "--max-events-per-workflow 0"},
		"reconciled after 1 s":    {func(c *config.Config) { c.ReconcileAfter = time.Second }, ""},
		"reconciled after less":   {func(c *config.Config) { c.ReconcileAfter = time.Second - 1 }, "--reconcile-after"},
		"retention of a day":      {func(c *config.Config) { c.Retention = 24 * time.Hour }, ""},
		"retention below a day":   {func(c *config.Config) { c.Retention = 24*time.Hour - 1 }, "--retention"},
		"usage below a day":       {func(c *config.Config) { c.UsageRetention = 24*time.Hour - 1 }, "--usage-retention"},
		"audit log below a day":   {func(c *config.Config) { c.AuditRetention = 24*time.Hour - 1 }, "--audit-retention"},
		"messages for a second":   {func(c *config.Config) { c.TopicAge = time.Second }, ""},
		"messages for no time":    {func(c *config.Config) { c.TopicAge = 0 }, "--topic-retention 0s: want at least 1s"},
		"one message":             {func(c *config.Config) { c.TopicKeep = 1 }, ""},
		"no messages":             {func(c *config.Config) { c.TopicKeep = 0 }, "--topic-messages 0: want at least 1"},
		"no delay of draining":    {func(c *config.Config) { c.DrainDelay = 0 }, ""},
		"draining before time":    {func(c *config.Config) { c.DrainDelay = -1 }, "--drain-delay -1ns: want 0s or more"},
		"no metrics":              {func(c *config.Config) { c.MetricsAddr = "" }, ""},
		"metrics without a port":  {func(c *config.Config) { c.MetricsAddr = "127.0.0.1" }, `--metrics-addr "127.0.0.1": want host:port`},
		"no time to stop":         {func(c *config.Config) { c.ShutdownTimeout = 0 }, "--shutdown-timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given := valid()
			c.change(&given)
			err := given.Validate()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestValidateReportsEverything(t *testing.T) {
	t.Parallel()
	var c config.Config
	err := c.Validate()
	for _, flag := range []string{
		"--database-url", "--encryption-key", "--api-addr", "--max-body", "--retry-schedule", "--max-events-per-workflow", "--retention", "--shutdown-timeout",
	} {
		require.ErrorContains(t, err, flag)
	}
}

// A worker needs no settings of the API.
func TestValidateWorker(t *testing.T) {
	t.Parallel()
	c := valid()
	c.API = config.API{}
	require.NoError(t, c.ValidateWorker())
	require.Error(t, c.Validate())
	c.DatabaseURL, c.RetrySchedule = "", nil
	err := c.ValidateWorker()
	require.ErrorContains(t, err, "--database-url")
	require.ErrorContains(t, err, "--retry-schedule")
}

func TestSecretsPrintAsStars(t *testing.T) {
	t.Parallel()
	c := valid()
	c.AdminKey = "hush"
	c.DatabaseURL = "postgres://user:hush@host/x"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		text := fmt.Sprintf(verb, c)
		require.NotContains(t, text, "hush", verb)
		require.NotContains(t, text, key(1), verb)
		require.NotContains(t, text, fmt.Sprintf("%x", "hush"), verb)
		require.Contains(t, text, "***", verb)
	}
	text, err := json.Marshal(c)
	require.NoError(t, err)
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("configured", slog.Any("config", c), slog.Any("key", c.AdminKey))
	for _, printed := range []string{string(text), b.String()} {
		require.NotContains(t, printed, "hush")
		require.NotContains(t, printed, key(1))
		require.Contains(t, printed, "***")
	}
	require.Equal(t, "hush", c.AdminKey.Reveal())
	require.NotContains(t, errors.Join(c.Validate(), errors.New("x")).Error(), "hush")
}
