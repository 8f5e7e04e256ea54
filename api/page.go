package api

import (
	"encoding/base64"

	"grapnel/internal/hook"
)

// A cursor is opaque to clients: base64url of a version, the kind of list and
// the id of the last entry that the page has looked at.
const (
	cursorVersion = 1
	cursorLength  = 18
)

// Kinds of lists; a cursor of one is refused by the others.
const (
	listWebhooks   = 'w'
	listEvents     = 'e'
	listDeliveries = 'd'
	listKeys       = 'k'
	listTenants    = 't'
	listReplays    = 'r'
	listEventTypes = 'y'
	listCommenda   = 'c'
	listMomento    = 'm'
)

// page reads the Paging parameters; a cursor that is none of ours is an error,
// never page one (S2).
func (p Paging) page(kind byte) (hook.Page, error) {
	page := hook.Page{Limit: p.Limit}
	if p.Cursor == "" {
		return page, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	if err != nil || len(b) != cursorLength || b[0] != cursorVersion || b[1] != kind {
		return page, badCursor()
	}
	id := [16]byte(b[2:])
	page.Before = &id
	return page, nil
}

// after is the name after which a page of a list by name begins; empty for the first.
func (p WholePaging) after() (string, error) {
	if p.Cursor == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	if err != nil || len(b) < 2 || b[0] != cursorVersion || b[1] != listEventTypes || hook.TypeProblem(string(b[2:])) != "" {
		return "", badCursor()
	}
	return string(b[2:]), nil
}

// badCursor is never page one (S2).
func badCursor() error {
	return &hook.Error{Kind: hook.KindInvalid, Message: "the cursor is not valid", Violations: []hook.Violation{
		{Location: "query.cursor", Message: "is not a next_cursor of this list"},
	}}
}

// nextName leads to what comes after the entry of that name.
func nextName(kind byte, last string) *string {
	text := base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion, kind}, last...))
	return &text
}

// typeFilter refuses a filter that no event type or topic can be equal to.
func typeFilter(parameter, value string) error {
	if problem := hook.TopicProblem(value); value != "" && problem != "" {
		return hook.Unprocessable("query."+parameter, "%s", problem)
	}
	return nil
}

// nextCursor leads to what comes after the entry.
func nextCursor(kind byte, last [16]byte) *string {
	b := append([]byte{cursorVersion, kind}, last[:]...)
	text := base64.RawURLEncoding.EncodeToString(b)
	return &text
}

// cursorAfter leads to what comes after the last entry that was looked at; nil where that
// was all.
func cursorAfter(kind byte, last *[16]byte) *string {
	if last == nil {
		return nil
	}
	return nextCursor(kind, *last)
}
