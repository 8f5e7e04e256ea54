package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"

	"grapnel/internal/hook"
)

// Changes answers whether something is new for a reader (P7).
type Changes interface {
	// Wait answers whether something in the scope has changed since the cursor, and returns the next cursor. If nothing has,
	// it waits for a change for up to a time.
	Wait(ctx context.Context, scope hook.ChangeScope, since hook.ChangeCursor, most time.Duration) (hook.ChangeCursor, bool, error)
}

type changes struct {
	Cursor  string `json:"cursor" doc:"What to ask with next time." example:"AW4ABkhsYh0CABI0VngABkhsYg2_wA"`
	Changed bool   `json:"changed" doc:"Whether something may have changed since the cursor of the request. Read your lists again if so. Without a cursor: true." example:"true"`
}

type getChangesInput struct {
	Since   string `query:"since" maxLength:"100" doc:"The cursor of the previous answer. Absent: everything is new."`
	Wait    int    `query:"wait" minimum:"0" maximum:"25" default:"0" doc:"For so many seconds at most the answer waits for a change."`
	Webhook string `query:"webhook" maxLength:"64" doc:"Only what concerns this webhook, or may."`
}

type getChangesOutput struct {
	Body changes
}

func (a *API) registerChanges() {
	register(a, operation{
		id: "get-changes", portal: portalView, method: http.MethodGet, path: "/v1/changes", tag: tagStandard, waits: true, allTenants: true,
		scopes: []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}, summary: "Ask whether anything is new",
		description: "Says within about a second whether events, deliveries, attempts, webhooks, replays, event types or keys of the account have changed, " +
			"so that a screen need not read its lists again and again. It costs next to nothing. It may say so although nothing has changed. " +
			"With Grapnel-Tenant: *, of all tenants.",
	}, a.getChanges)
}

func (a *API) getChanges(ctx context.Context, in *getChangesInput) (*getChangesOutput, error) {
	if err := checkWholeAccount(ctx); err != nil {
		return nil, err
	}
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	scope := hook.ChangeScope{Of: listed(ctx)}
	if in.Webhook != "" {
		if scope.WebhookID, err = queriedWebhook(in.Webhook); err != nil {
			return nil, err
		}
	}
	waiting, cancel := a.whilePolling(ctx)
	defer cancel()
	most := min(time.Duration(in.Wait)*time.Second, a.Config.LongPoll)
	cursor, changed, err := a.Changes.Wait(waiting, scope, since, most)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		cursor, changed, err = since, false, nil // the process is stopping: the client asks another one
	}
	if err != nil {
		return nil, err
	}
	return &getChangesOutput{Body: changes{Cursor: changesCursor(cursor), Changed: changed}}, nil
}

// changesCursorLength is that of a cursor of changes: version, kind, two times and a process.
const changesCursorLength = 2 + 8 + 4 + 8

func changesCursor(c hook.ChangeCursor) string {
	b := binary.BigEndian.AppendUint64([]byte{cursorVersion, listChanges}, uint64(c.Seen)) //nolint:gosec // two's complement, read back in the same way
	b = binary.BigEndian.AppendUint32(b, c.Process)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Mark)) //nolint:gosec // see above
	return base64.RawURLEncoding.EncodeToString(b)
}

func (in *getChangesInput) since() (c hook.ChangeCursor, err error) {
	if in.Since == "" {
		return c, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(in.Since)
	if err != nil || len(b) != changesCursorLength || !bytes.HasPrefix(b, []byte{cursorVersion, listChanges}) {
		return c, &hook.Error{Kind: hook.KindInvalid, Message: "the cursor is not valid", Violations: []hook.Violation{
			{Location: "query.since", Message: "is not a cursor of changes"},
		}}
	}
	c.Seen, c.Process, c.Mark = int64(binary.BigEndian.Uint64(b[2:])), binary.BigEndian.Uint32(b[10:]), int64(binary.BigEndian.Uint64(b[14:])) //nolint:gosec // see changesCursor
	return c, nil
}
