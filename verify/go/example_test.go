package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	verify "grapnel/verify/go"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func handle(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err == nil {
		err = verify.StandardWebhooks([]string{secret}, r.Header, body) // or verify.Standard(secret, r.Header, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	w.WriteHeader(http.StatusNoContent) // body is an event
}

// handleHex verifies the standard profile's signature without this package.
func handleHex(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	given, err := hex.DecodeString(r.Header.Get("X-Webhook-Signature"))
	if secret == "" || err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		http.Error(w, "signature", http.StatusUnauthorized)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func ExampleStandardWebhooks() {
	w := httptest.NewRecorder()
	handle(w, httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(`{}`)))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 401 webhook: a header is missing: webhook-id
}
