package cli

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// when is a flag's time, in one of the forms of [parseWhen].
type when struct{ time.Time }

// whenHelp lists the forms for error texts. The help of the flags lists them, too.
const whenHelp = "2026-01-15T12:00:00Z, 2026-01-15, 15:30, 3pm, yesterday or 2h (ago); a time without a zone is local"

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *when) UnmarshalText(text []byte) (err error) {
	w.Time, err = parseWhen(string(text), time.Now())
	return err
}

// given returns the time for a request; nil if the flag was not given.
func (w when) given() *time.Time { return given(w.Time) }

// parseWhen parses a past time. A day means its beginning. The forms are:
//   - RFC 3339;
//   - a date, with or without a time of day;
//   - a time of day: the last such time before now;
//   - now, today and yesterday, with or without a time of day;
//   - a time span before now: 90s, 30m, 2h, 3d, 1w, also several in a row and followed by "ago".
//
// A time without a zone is in the zone of now.
func parseWhen(text string, now time.Time) (time.Time, error) {
	words := strings.Fields(strings.ToLower(text))
	if len(words) == 2 && words[1] == "ago" {
		words = words[:1]
	}
	switch len(words) {
	case 1:
		if t, ok := parseWord(words[0], strings.TrimSpace(text), now); ok {
			return t, nil
		}
	case 2:
		day, ok := parseDay(words[0], now)
		clock, also := parseClock(words[1])
		if ok && also {
			return clock.on(day), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: give one like %s", text, whenHelp)
}

// parseWord parses a time of one word. word is in lower case, text is as it was written.
func parseWord(word, text string, now time.Time) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, true
	}
	if word == "now" {
		return now, true
	}
	if day, ok := parseDay(word, now); ok {
		return day, true
	}
	if date, rest, ok := strings.Cut(word, "t"); ok {
		day, isDay := parseDate(date, now)
		if clock, isClock := parseClock(rest); isDay && isClock {
			return clock.on(day), true
		}
	}
	if clock, ok := parseClock(word); ok {
		at := clock.on(now)
		if at.After(now) {
			at = clock.on(now.AddDate(0, 0, -1))
		}
		return at, true
	}
	return parseAgo(word, now)
}

// parseDay returns the beginning of a day.
func parseDay(word string, now time.Time) (time.Time, bool) {
	year, month, day := now.Date()
	switch word {
	case "today":
	case "yesterday":
		day--
	default:
		return parseDate(word, now)
	}
	return time.Date(year, month, day, 0, 0, 0, 0, now.Location()), true
}

func parseDate(word string, now time.Time) (time.Time, bool) {
	t, err := time.ParseInLocation(time.DateOnly, word, now.Location())
	return t, err == nil
}

// clock is a time of day.
type clock struct{ hour, minute, second int }

// on returns the time c on the day of t.
func (c clock) on(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, c.hour, c.minute, c.second, 0, t.Location())
}

func parseClock(word string) (clock, bool) {
	for _, layout := range []string{"15:04:05", "15:04", "3:04pm", "3pm"} {
		if t, err := time.Parse(layout, word); err == nil {
			return clock{t.Hour(), t.Minute(), t.Second()}, true
		}
	}
	return clock{}, false
}

var (
	agoText = regexp.MustCompile(`^([0-9]{1,6}[smhdw])+$`)
	agoPart = regexp.MustCompile(`([0-9]+)([smhdw])`)
)

// parseAgo returns the time that is a time span before now. A day ago is the same time of day, also
// if the clocks were changed in between.
func parseAgo(word string, now time.Time) (time.Time, bool) {
	if !agoText.MatchString(word) {
		return time.Time{}, false
	}
	at := now
	for _, part := range agoPart.FindAllStringSubmatch(word, -1) {
		n, err := strconv.Atoi(part[1])
		if err != nil {
			return time.Time{}, false
		}
		switch part[2] {
		case "w":
			at = at.AddDate(0, 0, -7*n)
		case "d":
			at = at.AddDate(0, 0, -n)
		default:
			unit := map[string]time.Duration{"h": time.Hour, "m": time.Minute, "s": time.Second}[part[2]]
			at = at.Add(-time.Duration(n) * unit)
		}
	}
	return at, true
}
