package api

import (
	"context"
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"grapnel/internal/hook"
)

// A cursor is opaque to clients. It is the base64url encoding of a version, the kind of list and the id of the last
// entry that the page looked at.
const (
	cursorVersion = 1
	cursorLength  = 18
)

// The kinds of lists. A list refuses a cursor of another kind.
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
	listAudit      = 'a'
	listUsage      = 'u'
	listSessions   = 'p'
	listChanges    = 'n'
	// listAllDeliveries are those of all webhooks.
	listAllDeliveries = 's'
)

// page reads the Paging parameters. An invalid cursor is an error; it never stands for the first page (S2).
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

// after returns the name after which a page of a list by name begins; empty for the first page.
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

// badCursor is the error of an invalid cursor.
func badCursor() error {
	return &hook.Error{Kind: hook.KindInvalid, Message: "the cursor is not valid", Violations: []hook.Violation{
		{Location: "query.cursor", Message: "is not a next_cursor of this list"},
	}}
}

// nextName returns the cursor of the page after the entry with a name.
func nextName(kind byte, last string) *string {
	text := base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion, kind}, last...))
	return &text
}

// typeFilter refuses a filter that can't be the name of an event type or topic.
func typeFilter(parameter, value string) error {
	if problem := hook.TopicProblem(value); value != "" && problem != "" {
		return hook.Unprocessable("query."+parameter, "%s", problem)
	}
	return nil
}

// textFilter refuses a filter by an id or a name that nothing can have.
func textFilter(parameter, value string) error {
	if strings.ContainsFunc(value, unicode.IsControl) || !utf8.ValidString(value) {
		return hook.Unprocessable("query."+parameter, "must not contain control characters")
	}
	return nil
}

// nextCursor returns the cursor of the page after the entry with an id.
func nextCursor(kind byte, last [16]byte) *string {
	b := append([]byte{cursorVersion, kind}, last[:]...)
	text := base64.RawURLEncoding.EncodeToString(b)
	return &text
}

// pages describes a list that is answered page by page: T are its entries as the store has them, V as answers show
// them.
type pages[T, V any] struct {
	kind  byte
	id    func(*T) [16]byte
	bytes func(*T) int // the size of an entry in an answer, about
	view  func(*T) V
}

// answer returns a page as the answer shows it: as many of the entries found as one answer may hold. next is the cursor
// of the next page, nil on the last. more reports whether the store has entries after those found.
func (p pages[T, V]) answer(ctx context.Context, found []T, more bool) (views []V, next *string) {
	found, bytes, cut := fit(found, p.bytes)
	answered(ctx, bytes)
	if more || cut {
		next = nextCursor(p.kind, p.id(&found[len(found)-1]))
	}
	return viewAll(found, p.view), next
}

// answerFrom is answer for lists whose pages may be short because the store searches them. last is the id of the last
// entry that the store looked at, nil if it looked at all.
func (p pages[T, V]) answerFrom(ctx context.Context, found []T, last *[16]byte) (views []V, next *string) {
	if views, next = p.answer(ctx, found, false); next == nil && last != nil {
		next = nextCursor(p.kind, *last)
	}
	return views, next
}

// answerUpTo is answer for lists that the store bounds itself, because it searches them. last is the id of the last
// entry that the store looked at, nil if it looked at all.
func (p pages[T, V]) answerUpTo(ctx context.Context, found []T, last *[16]byte) (views []V, next *string) {
	bytes := 0
	for i := range found {
		bytes += p.bytes(&found[i])
	}
	answered(ctx, bytes)
	if last != nil {
		next = nextCursor(p.kind, *last)
	}
	return viewAll(found, p.view), next
}

// viewAll returns the views of a list's entries. It is never nil, so that an empty list is [] in JSON.
func viewAll[T, V any](list []T, view func(*T) V) []V {
	views := make([]V, 0, len(list))
	for i := range list {
		views = append(views, view(&list[i]))
	}
	return views
}
