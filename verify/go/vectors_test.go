package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	verify "grapnel/verify/go"
)

// vectors are known signatures. testdata/signatures.json is a copy of the product's file, so that this module needs
// nothing but the standard library.
type vectors struct {
	HMAC []struct {
		Name, Scheme string
		Key          string `json:"key_utf8"`
		Body         []byte `json:"body_base64"`
		Signature    string
	}
	StandardWebhooks []struct {
		Name, Scheme, Secret, Public string
		ID                           string `json:"webhook_id"`
		Timestamp                    int64  `json:"webhook_timestamp"`
		Body, Signature              string
	} `json:"standard_webhooks"`
}

func loadVectors(t *testing.T) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/signatures.json")
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil || len(v.HMAC) == 0 || len(v.StandardWebhooks) == 0 {
		t.Fatalf("%v: %d and %d vectors", err, len(v.HMAC), len(v.StandardWebhooks))
	}
	return v
}

func TestHMACVectors(t *testing.T) {
	t.Parallel()
	for _, v := range loadVectors(t).HMAC {
		for name, check := range map[string]func(string, http.Header, []byte) error{
			"X-Webhook-Signature": verify.Standard, "momento-signature": verify.Momento, "Commenda-X-Secret": verify.Commenda,
		} {
			var want error
			if (name == "momento-signature") != (v.Scheme == "hmac-sha3-256") {
				want = verify.ErrNoMatch
			}
			if err := check(v.Key, http.Header{name: {v.Signature}}, v.Body); !errors.Is(err, want) {
				t.Errorf("%s in %s: %v, want %v", v.Name, name, err, want)
			}
			if err := check(v.Key, http.Header{name: {v.Signature}}, append(v.Body, ' ')); !errors.Is(err, verify.ErrNoMatch) {
				t.Errorf("%s in %s, body changed: %v, want %v", v.Name, name, err, verify.ErrNoMatch)
			}
		}
	}
}

func TestStandardWebhooksVectors(t *testing.T) {
	t.Parallel()
	for _, v := range loadVectors(t).StandardWebhooks {
		key := v.Secret
		if v.Public != "" {
			key = v.Public
		}
		h := http.Header{"Webhook-Id": {v.ID}, "Webhook-Timestamp": {strconv.FormatInt(v.Timestamp, 10)}, "Webhook-Signature": {v.Signature}}
		if err := verify.StandardWebhooks([]string{key}, h, []byte(v.Body), verify.WithTolerance(-1)); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if err := verify.StandardWebhooks([]string{key}, h, []byte(v.Body)); !errors.Is(err, verify.ErrTooOld) {
			t.Errorf("%s, by the clock: %v, want %v", v.Name, err, verify.ErrTooOld)
		}
	}
}

// The handler in the API's overview accepts only the body's signature.
func TestHandleHex(t *testing.T) {
	t.Parallel()
	const body = `{"id":"evt_1"}`
	sign := func(key string) string {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		return hex.EncodeToString(mac.Sum(nil))
	}
	good := sign(secret)
	for signature, want := range map[string]int{
		good: http.StatusNoContent, "": http.StatusUnauthorized, "x": http.StatusUnauthorized, good[:63]: http.StatusUnauthorized,
		good[:62]: http.StatusUnauthorized, good + "00": http.StatusUnauthorized, sign(""): http.StatusUnauthorized,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(body))
		r.Header.Set("X-Webhook-Signature", signature)
		handleHex(w, r)
		if w.Code != want {
			t.Errorf("signature %q: %d, want %d", signature, w.Code, want)
		}
	}
}
