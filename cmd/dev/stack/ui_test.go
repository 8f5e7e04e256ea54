package stack

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestUIShowsTheNamespace(t *testing.T) {
	t.Parallel()
	db := startPostgres(t)
	s, err := startTemporal(t.Context(), temporalOptions{
		Addr: Loopback + ":0", DatabaseURL: db.URL("postgres"), Logger: quietLogger(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	ui, err := startUI(t.Context(), Loopback+":0", s.Addr)
	require.NoError(t, err)
	t.Cleanup(ui.Stop)

	status, body := get(t, ui.URL+"/namespaces/default/workflows")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "<html")
	status, body = get(t, ui.URL+"/api/v1/namespaces/default")
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"259200s"`, "72 hours of retention")
}

func TestUIBusyPort(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", Loopback+":0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, err = startUI(t.Context(), l.Addr().String(), Loopback+":1")
	var busy *portError
	require.ErrorAs(t, err, &busy)
}
