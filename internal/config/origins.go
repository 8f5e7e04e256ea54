package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// noFrames is the value of --frame-ancestors that lets nobody embed the application.
const noFrames = "none"

// FramePolicy returns the directive of a Content-Security-Policy that says who may embed the application (P2).
func (a *API) FramePolicy() string {
	if len(a.FrameAncestors) == 0 || slices.Contains(a.FrameAncestors, noFrames) {
		return "frame-ancestors 'none'"
	}
	return "frame-ancestors " + strings.Join(a.FrameAncestors, " ")
}

func (a *API) validateOrigins() (errs []error) {
	for _, origin := range a.CORSOrigins {
		if !isOrigin(origin) {
			errs = append(errs, fmt.Errorf("--cors-origins %q: want an origin as browsers send it, such as https://app.example.com", origin))
		}
	}
	if len(a.CORSOrigins) > 0 && a.Auth == "none" {
		errs = append(errs, errors.New("--cors-origins needs --auth=key: without keys any page of these origins could do everything"))
	}
	for _, origin := range a.FrameAncestors {
		switch {
		case origin == noFrames && len(a.FrameAncestors) > 1:
			errs = append(errs, errors.New("--frame-ancestors: none must stand alone"))
		case origin != noFrames && !isOrigin(origin):
			errs = append(errs, fmt.Errorf("--frame-ancestors %q: want none, or an origin such as https://app.example.com", origin))
		}
	}
	return errs
}

// isOrigin reports whether text is the origin of pages, as browsers write it: scheme, host and port, in lower case, without the
// scheme's own port.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return false
	}
	own := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	// A directive of a policy ends at a semicolon, and a list of sources has spaces and wildcards.
	return text == u.Scheme+"://"+u.Host && text == strings.ToLower(text) && u.Port() != own && !strings.HasSuffix(u.Host, ":") &&
		!strings.ContainsAny(text, " ;,*'\"")
}
