package verify_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"grapnel/verify"
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

func ExampleStandardWebhooks() {
	w := httptest.NewRecorder()
	handle(w, httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(`{}`)))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 401 webhook: a header is missing: webhook-id
}
