package stack

import (
	"encoding/base64"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"grapnel/internal/config"
)

// A process of --processes=split gets every setting of the stack, including settings added later.
func TestForwarded(t *testing.T) {
	t.Parallel()
	parse := func(args ...string) (c config.Config) {
		parser, err := kong.New(&c)
		require.NoError(t, err)
		_, err = parser.Parse(append(args, "--database-url=postgres://x/", "--encryption-key="+base64.StdEncoding.EncodeToString(make([]byte, 32))))
		require.NoError(t, err)
		return c
	}
	for name, args := range map[string][]string{
		"defaults": nil,
		"others": {
			"--api-addr=127.0.0.1:1", "--auth=none", "--temporal-ui-url=http://ui/", "--max-body=2000", "--topic-retention=1h", "--topic-messages=5",
			"--key-rate-limit=7", "--max-polls=8", "--tenant-rate-limit=9", "--tenant-max-polls=10", "--max-keys=11", "--tenant-max-webhooks=14", "--tenant-publish-rate=15", "--public-url=http://own/",
			"--allow-own-url", "--max-event-types=12", "--max-deliveries=13", "--drain-delay=3s", "--retry-schedule=1s,2m", "--allow-destinations=10.0.0.0/8,::1/128",
			"--allow-http", "--disable-webhook-after-failed-delivery", "--max-events-per-workflow=14", "--reconcile-after=15m", "--retention=48h",
			"--shutdown-timeout=17s", "--metrics-addr=127.0.0.1:2", "--log-level=debug", "--log-format=text",
		},
	} {
		want := parse(args...)
		require.Equal(t, want, parse(forwarded(want)...), name)
	}
}
