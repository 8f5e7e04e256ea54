package cli

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

const auditLog = `{"entries":[
 {"id":"aud_01kab1s6rzfkqbzry2kztmfpx2","tenant_id":"ten_00000000007000g00000000001","created_at":"2026-01-15T12:00:00.123Z","actor":{"type":"api_key","id":"key_01kab1s6rzfkqbzry2kztmfpx1","name":"Back\u001bend"},"source_address":"203.0.113.7","action":"webhook.updated","target":{"type":"webhook","id":"hook_01kab1s6rzfkqbzry2kztmfpx1","name":"Billing"},"changes":[{"member":"url","before":"https://yourapp.com/one","after":"https://yourapp.com/two"},{"member":"description","before":"Billing"},{"member":"secret","secret":true}]},
 {"id":"aud_01kab1s6rzfkqbzry2kztmfpx1","tenant_id":"ten_00000000007000g00000000001","created_at":"2026-01-15T11:00:00Z","actor":{"type":"cli","id":"root","name":"root"},"action":"api_key.created","target":{"type":"api_key","id":"key_01kab1s6rzfkqbzry2kztmfpx1"},"changes":[{"member":"scopes","after":["admin","webhooks","publish","read","subscribe"]}]}
],"next_cursor":"AWEB"}`

const usageReport = `{"since":"2026-01-14T00:00:00Z","until":"2026-01-16T00:00:00Z","by":"day",
"total":{"events":3,"deliveries":4,"attempts":5,"successes":4,"failures":1,"bytes":600},
"periods":[{"start":"2026-01-14T00:00:00Z","events":1,"deliveries":1,"attempts":0,"successes":0,"failures":0,"bytes":100},
{"start":"2026-01-15T00:00:00Z","events":2,"deliveries":3,"attempts":5,"successes":4,"failures":1,"bytes":500}]}`

func TestAuditAndUsage(t *testing.T) {
	t.Parallel()
	r := command(t, "", "audit", "--action=webhook.*", answering(t, http.StatusOK, "application/json", auditLog))
	require.NoError(t, r.failed)
	golden(t, "audit.txt", r.out)
	require.Equal(t, "more entries: --cursor=AWEB\n", r.err)
	r = command(t, "", "usage", "--by=day", answering(t, http.StatusOK, "application/json", usageReport))
	require.NoError(t, r.failed)
	golden(t, "usage.txt", r.out)
	require.Error(t, command(t, "", "usage", "--by=week").failed)
}
