package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

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
		if !isOrigin(origin) {
			errs = append(errs, fmt.Errorf("--frame-ancestors %q: want an origin such as https://app.example.com", origin))
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
