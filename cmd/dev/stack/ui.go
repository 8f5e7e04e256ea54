package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	ui "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"

	"grapnel/internal/wait"
)

const (
	uiFlag = "--ui-addr"
	// uiTime bounds the wait for the first answer.
	uiTime = 10 * time.Second
)

// webUI is the Temporal Web UI, served from this process.
type webUI struct {
	// URL is where a browser finds it.
	URL string

	server *ui.Server
	done   chan struct{}
}

// startUI serves the Web UI on addr for the Temporal frontend at temporalAddr, which need not answer yet. It returns
// a *portError if the port is in use. It checks the port first, because the server itself would end the process.
func startUI(ctx context.Context, addr, temporalAddr string) (*webUI, error) {
	tcp, err := checkAddr(ctx, uiFlag, addr)
	if err != nil {
		return nil, err
	}
	w := &webUI{
		URL: "http://" + tcp.String(),
		server: ui.NewServer(server_options.WithConfigProvider(&uiconfig.Config{
			Host:                tcp.IP.String(),
			Port:                tcp.Port,
			TemporalGRPCAddress: temporalAddr,
			DefaultNamespace:    TemporalNamespace,
			EnableUI:            true,
			// The UI is served without TLS, so cookies must be allowed without it.
			CORS:             uiconfig.CORS{CookieInsecure: true},
			HideLogs:         true,
			DisableNewsFetch: true,
		})),
		done: make(chan struct{}),
	}
	go func() {
		defer close(w.done)
		_ = w.server.Start() // its only error concerns the configuration, which NewServer has checked
	}()
	limited, cancel := context.WithTimeout(ctx, uiTime)
	defer cancel()
	if err := WaitHTTP(limited, w.URL+"/healthz"); err != nil {
		w.Stop()
		return nil, fmt.Errorf("start Web UI: %w", err)
	}
	return w, nil
}

// Stop closes the Web UI and its connections.
func (w *webUI) Stop() {
	w.server.Stop()
	<-w.done
}

// WaitHTTP waits until url answers with 200, or ctx ends.
func WaitHTTP(ctx context.Context, url string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		err := probe(ctx, client, url)
		if err == nil {
			return nil
		}
		if wait.For(ctx, PollInterval) != nil {
			return err
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
