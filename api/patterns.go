package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"grapnel/internal/hook"
)

// unmatchedPatterns warns of patterns that match no known type. That is no error, because a type may be added later. A
// tenant without types of its own is not warned, because its events may all be of free-form topics.
func (a *API) unmatchedPatterns(ctx context.Context, profile hook.Profile, events []string, places eventPlaces) (list []Warning, err error) {
	if profile != hook.ProfileStandard || !slices.ContainsFunc(events, isPrefix) {
		return nil, nil
	}
	types, err := a.Store.EventTypeNames(ctx, tenant(ctx))
	if err != nil || len(types) == 0 {
		return nil, err
	}
	for _, t := range hook.BuiltInEventTypes() {
		types = append(types, t.Name)
	}
	for i, pattern := range events {
		if !isPrefix(pattern) || slices.ContainsFunc(types, func(name string) bool { return hook.Matches([]string{pattern}, name) }) {
			continue
		}
		list = append(list, Warning{places[i], unmatched(pattern, types, len(list) < mostHints)})
	}
	return list, nil
}

// isPrefix reports whether a pattern is a prefix and a star.
func isPrefix(pattern string) bool { return pattern != "*" && hook.IsWildcard(pattern) }

// unmatched returns the message for a pattern that matches none of the types, with a suggestion if hint is set.
func unmatched(pattern string, types []string, hint bool) string {
	prefix := strings.TrimSuffix(pattern, "*")
	for _, t := range hook.OperationalEventTypes() {
		if strings.HasPrefix(t.Name, prefix) {
			return fmt.Sprintf("matches no event type: operational ones, like %s, are subscribed to by name", t.Name)
		}
	}
	const message = "matches no event type that is known so far"
	if !hint {
		return message
	}
	var prefixes []string
	for _, name := range types {
		for i := range len(name) {
			if name[i] == '.' {
				prefixes = append(prefixes, name[:i])
			}
		}
	}
	if near := hook.Closest(strings.TrimSuffix(prefix, "."), prefixes); near != "" {
		return fmt.Sprintf("%s; did you mean %s.*?", message, near)
	}
	return message
}
