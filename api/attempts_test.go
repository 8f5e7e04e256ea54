package api_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// A body that is cut within a character is shown as text up to that character. A body that is not UTF-8 is shown in
// base64, cut or not.
func TestTruncatedAnswers(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	length := int64(60_022)
	shown := func(body string, truncated bool) map[string]any {
		a := failure(500)
		a.ResponseBody, a.ResponseTruncated = []byte(body), truncated
		if truncated {
			a.ResponseLength = &length
		}
		d := f.get(t, "/v1/deliveries/"+f.deliver(t, id, a)).object(t, http.StatusOK)
		return objects(t, d["attempt_log"])[0]["response"].(map[string]any)
	}
	page := "<h1>エラー</h1>" + strings.Repeat("説明", 5000)
	cut := shown(page[:hook.MaxResponseBody], true)
	require.True(t, strings.HasPrefix(page, cut["body"].(string)))
	require.Greater(t, len(cut["body"].(string)), hook.MaxResponseBody-4)
	require.NotContains(t, cut, "body_base64")
	require.Equal(t, true, cut["truncated"])
	require.EqualValues(t, length, cut["body_length"])

	for whole, rest := range map[string]string{
		"": "\xe3", "a": "\xe3\x82", "é": "\xf0\x9f\x98", "aé": "\xc3", "\ufffd": "\xef\xbf", "😀": "", "OK": "",
	} {
		require.Equal(t, whole, shown(whole+rest, true)["body"])
		if rest == "" {
			require.Equal(t, whole, shown(whole, false)["body"])
			continue
		}
		complete := shown(whole+rest, false)
		require.Equal(t, base64.StdEncoding.EncodeToString([]byte(whole+rest)), complete["body_base64"], "nothing is missing of it: it is no text")
		require.NotContains(t, complete, "truncated")
		require.NotContains(t, complete, "body_length")
	}
	for _, binary := range []string{"\xff", "a\xff", "\x80", "\x80\x80\x80\x80", "\xed\xa0\x80", "a\xc3\xe3", "\xff\xe3\x82"} {
		require.Equal(t, base64.StdEncoding.EncodeToString([]byte(binary)), shown(binary, true)["body_base64"])
	}
}
