package cli

import (
	"context"

	grapnelapi "grapnel/clients/go"
)

type findCommand struct {
	connection
	output
	ID string `arg:"" name:"id" help:"Id of a delivery (del_…), event (evt_…), webhook (hook_…), replay (rpl_…) or tenant (ten_…)."`
}

// Run shows what an id names. Nothing found is the exit code of what is not found.
func (c *findCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	found, err := take[grapnelapi.FoundThings](client.FindIDWithResponse(ctx, &grapnelapi.FindIDParams{ID: c.ID}))
	if err != nil {
		return err
	}
	err = c.show(s, found.raw, func(p *printer) {
		rows := [][]string{{"KIND", "ID", "TENANT"}}
		for _, item := range found.value.Items {
			rows = append(rows, []string{string(item.Kind), item.ID, item.TenantID})
		}
		if len(rows) > 1 {
			p.table(rows)
		}
	})
	if err == nil && len(found.value.Items) == 0 {
		return failf(codeNotFound, "nothing with the id %s was found", clean(c.ID))
	}
	return err
}
