package hook

import (
	"regexp"
	"strings"
)

// eventTypeRE matches a dotted name. Commenda's topics have fewer restrictions, see TopicProblem.
var eventTypeRE = regexp.MustCompile(`^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$`)

// MaxTypeLength bounds the name of an event type or topic, in bytes.
const MaxTypeLength = 128

// TypeProblem describes what is wrong with the name of an event type; "" if it is valid.
func TypeProblem(name string) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > MaxTypeLength:
		return "must be at most 128 characters"
	case !eventTypeRE.MatchString(name):
		return "must be letters, digits, _ and - in parts joined by dots, like user.created"
	default:
		return ""
	}
}

// IsWildcard reports whether the pattern is prefix.* or *, and not an exact type.
func IsWildcard(pattern string) bool {
	return pattern == "*" || strings.HasSuffix(pattern, ".*")
}

// PatternProblem describes what is wrong with an entry of a webhook's events; "" if it is valid.
func PatternProblem(pattern string) string {
	if pattern == "*" {
		return ""
	}
	problem := TypeProblem(strings.TrimSuffix(pattern, ".*"))
	if problem != "" && strings.Contains(pattern, "*") {
		return starProblem
	}
	return problem
}

const starProblem = `* stands alone ("*") or for what follows a prefix ("user.*")`

// Candidates lists every pattern that matches an event type: the type itself, each prefix.*, and *. So matching in the
// store is an equality on an index. Operational types match their names only.
func Candidates(eventType string) []string {
	if IsOperational(eventType) {
		return []string{eventType}
	}
	out := []string{eventType, "*"}
	for i := range len(eventType) {
		if eventType[i] == '.' {
			out = append(out, eventType[:i+1]+"*")
		}
	}
	return out
}

// Matches reports whether one of the patterns matches the event type.
func Matches(patterns []string, eventType string) bool {
	for _, p := range patterns {
		if p == eventType {
			return true
		}
		if IsOperational(eventType) {
			continue
		}
		if p == "*" || strings.HasSuffix(p, ".*") && strings.HasPrefix(eventType, p[:len(p)-1]) {
			return true
		}
	}
	return false
}
