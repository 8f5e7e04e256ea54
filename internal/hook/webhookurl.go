package hook

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Host returns the host and port of the webhook's URL.
func (w *Webhook) Host() string { return HostOf(w.URL) }

// Plain reports whether the destination has no TLS.
func (w *Webhook) Plain() bool {
	u, err := url.Parse(w.URL)
	return err == nil && u.Scheme == "http"
}

// HostOf returns a URL's host and port, for summaries. It is empty if the URL does not parse.
func HostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

// URLProblem describes what is wrong with the destination (spec 8); "" if it is valid.
func (w *Webhook) URLProblem() string {
	most := MaxURLLength
	if w.Profile == ProfileMomento {
		most = MaxTopicURLLength
	}
	switch {
	case w.URL == "":
		return "must not be empty"
	case utf8.RuneCountInString(w.URL) > most:
		return fmt.Sprintf("must be at most %d characters", most)
	default:
		return urlProblem(w.URL)
	}
}

func urlProblem(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || !cleanText(raw) || strings.ContainsAny(raw, " \\"):
		return "is not a valid URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "must be an absolute http or https URL"
	case u.Opaque != "" || u.Hostname() == "":
		return "must name a host"
	case !isHost(u.Hostname()):
		return "must name a host that can exist"
	case u.User != nil:
		return "must not contain a user name or password"
	case u.Fragment != "":
		return "must not contain a fragment"
	case u.Port() == "" && strings.HasSuffix(u.Host, ":"), u.Port() != "" && !isPort(u.Port()):
		return "must have a port between 1 and 65535"
	}
	return ""
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// Bounds of RFC 1035, section 2.3.4.
const (
	maxLabel = 63
	maxName  = 253
)

// isHost reports whether host is an address, or a name whose parts have a possible length. A dot at the end stands for
// the root.
func isHost(host string) bool {
	if strings.Contains(host, ":") {
		return true // an IPv6 address, which url.Parse has checked
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > maxName {
		return false
	}
	return !slices.ContainsFunc(strings.Split(host, "."), func(label string) bool { return label == "" || len(label) > maxLabel })
}
