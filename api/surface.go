package api

import (
	"errors"
	"strings"

	"grapnel/internal/hook"
)

// Momento's and Commenda's surfaces name things their own way. What all surfaces
// share says "body.url"; relocated says it in a surface's words.

// relocated renames the places that an error names. names has the surface's name
// of a place, without which it keeps the one it has; what follows a place's name,
// as the index of a list does, stays.
func relocated(err error, names map[string]string) error {
	var e *hook.Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Violations = make([]hook.Violation, 0, len(e.Violations))
	for _, v := range e.Violations {
		for from, to := range names {
			if rest, ok := strings.CutPrefix(v.Location, from); ok && (rest == "" || strings.ContainsAny(rest[:1], ".[/")) {
				v.Location = to + rest
				break
			}
		}
		out.Violations = append(out.Violations, v)
	}
	return &out
}
