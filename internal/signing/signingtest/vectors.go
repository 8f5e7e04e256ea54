// Package signingtest reads the known signatures of internal/signing/testdata for tests.
package signingtest

import (
	"encoding/json"
	"os"
	"testing"
)

// Vectors are known signatures. V1, SW1 and SW2 were published by the vendors.
type Vectors struct {
	HMAC             []HMAC
	StandardWebhooks []StandardWebhooks `json:"standard_webhooks"`
}

// HMAC is a signature of a body alone.
type HMAC struct {
	Name, Scheme string
	Key          string `json:"key_utf8"`
	Body         []byte `json:"body_base64"`
	Signature    string
}

// StandardWebhooks is a signature of the Standard Webhooks specification.
type StandardWebhooks struct {
	Name, Scheme, Secret, Public string
	ID                           string `json:"webhook_id"`
	Timestamp                    int64  `json:"webhook_timestamp"`
	Body, Signature              string
}

// Load reads the vectors. dir is the path from the test's package to internal/signing.
func Load(tb testing.TB, dir string) (v Vectors) {
	tb.Helper()
	raw, err := os.ReadFile(dir + "/testdata/signatures.json") //nolint:gosec // the file of a test
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil || len(v.HMAC) != 6 || len(v.StandardWebhooks) != 2 {
		tb.Fatalf("load the known signatures: %v; %d and %d of them, want 6 and 2", err, len(v.HMAC), len(v.StandardWebhooks))
	}
	return v
}
