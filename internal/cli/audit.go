package cli

import (
	"context"
	"encoding/json"
	"strings"

	grapnelapi "grapnel/clients/go"
)

type auditCommand struct {
	connection
	output
	paging
	Actor  string `env:"-" placeholder:"ID" help:"Only changes by this API key, or by this user of the server's operating system."`
	Action string `env:"-" placeholder:"ACTION" help:"Only this action, such as webhook.updated, or a pattern such as webhook.*."`
	Target string `env:"-" placeholder:"ID" help:"Only changes of the webhook, key, delivery, replay or tenant with this id, or of this event type."`
	Since  when   `env:"-" placeholder:"TIME" help:"Only changes from this time on: 2026-01-15T12:00:00Z, 2026-01-15, 15:30, 3pm, yesterday or 2h (ago). A time without a zone is local."`
	Until  when   `env:"-" placeholder:"TIME" help:"Only changes before this time."`
}

// Run lists the audit log.
func (c *auditCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list, err := take[grapnelapi.AuditLog](client.ListAuditLogWithResponse(ctx, &grapnelapi.ListAuditLogParams{
		Limit: &c.Limit, Cursor: given(c.Cursor), Actor: given(c.Actor), Action: given(c.Action), Target: given(c.Target),
		Since: c.Since.given(), Until: c.Until.given(),
	}))
	if err != nil {
		return err
	}
	err = c.show(s, list.raw, func(p *printer) {
		rows := [][]string{{"TIME", "ACTOR", "ADDRESS", "ACTION", "TARGET", "CHANGES"}}
		var tenants []*string
		for i := range list.value.Entries {
			e := &list.value.Entries[i]
			actor := clean(e.Actor.Name)
			if e.Actor.Type != "api_key" {
				actor += " (" + clean(e.Actor.Type) + ")"
			}
			target := known(e.Target.ID)
			if target == "" {
				target = known(e.Target.Name)
			}
			rows = append(rows, []string{moment(&e.CreatedAt), actor, known(e.SourceAddress), e.Action, clean(target), changeText(e.Changes)})
			if c.Tenant == allTenants { // otherwise it says no more than the command
				tenants = append(tenants, &e.TenantID)
			}
		}
		p.table(withTenants(rows, tenants))
	})
	more(s, list.value.NextCursor)
	return err
}

// changeText prints changed members on one line: the new values, or both if there was an old one.
func changeText(changes []grapnelapi.AuditChange) string {
	texts := make([]string, 0, len(changes))
	for _, c := range changes {
		text := clean(c.Member)
		switch {
		case known(c.Secret):
			text += " ***"
		case c.Before == nil:
			text += " " + valueText(c.After)
		default:
			text += " " + valueText(c.Before) + " -> " + valueText(c.After)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// longestValue is how many characters of a value a table shows.
const longestValue = 40

func valueText(v any) string {
	if v == nil {
		return "none"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?" // never: it comes from JSON
	}
	runes := []rune(clean(string(text)))
	if len(runes) > longestValue {
		return string(runes[:longestValue]) + "…"
	}
	return string(runes)
}
