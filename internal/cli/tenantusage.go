package cli

import (
	"context"
	"errors"

	grapnelapi "grapnel/clients/go"
)

// allTenants stands for every tenant in a path.
const allTenants = "*"

type tenantUsageCommand struct {
	connection
	output
	Name   string `arg:"" optional:"" name:"tenant" help:"The tenant's id, or your own id of it."`
	All    bool   `env:"-" help:"Count for every tenant."`
	By     string `enum:"hour,day" default:"day" env:"-" help:"Length of the periods: hour or day. Days are those of UTC."`
	Since  when   `env:"-" placeholder:"TIME" help:"From the period of this time on: 2026-01-15T12:00:00Z, 2026-01-15, 15:30, 3pm, yesterday or 2h (ago). Default: 30 days before --until, by hour 24 hours."`
	Until  when   `env:"-" placeholder:"TIME" help:"Up to the period before this time. Default: now."`
	Limit  int64  `default:"1000" env:"-" help:"Number of periods, up to 1000."`
	Cursor string `env:"-" help:"Go on from here: the cursor that the previous page printed."`
}

// Run shows the usage of a tenant, or of all.
func (c *tenantUsageCommand) Run(ctx context.Context, s Streams) error {
	name := c.Name
	switch {
	case c.All && name != "":
		return failf(codeWrong, "%w", errors.New("give a tenant or --all, not both"))
	case c.All:
		name = allTenants
	case name == "":
		return failf(codeWrong, "%w", errors.New("give a tenant, or --all"))
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	by := grapnelapi.GetTenantUsageParamsBy(c.By)
	used, err := take[grapnelapi.TenantUsage](client.GetTenantUsageWithResponse(ctx, name, &grapnelapi.GetTenantUsageParams{
		By: &by, Since: c.Since.given(), Until: c.Until.given(), Limit: &c.Limit, Cursor: given(c.Cursor),
	}))
	if err != nil {
		return err
	}
	err = c.show(s, used.raw, func(p *printer) {
		if t := used.value.Total; t != nil {
			rows := [][]string{usageHeadings()}
			for i := range used.value.Periods {
				u := &used.value.Periods[i]
				rows = append(rows, usageRow(moment(&u.Start), u.Events, u.Deliveries, u.Attempts, u.Successes, u.Failures, u.Bytes))
			}
			p.table(append(rows, usageRow("total", t.Events, t.Deliveries, t.Attempts, t.Successes, t.Failures, t.Bytes)))
			return
		}
		rows := [][]string{append([]string{"TENANT", "EXTERNAL ID"}, usageHeadings()...)}
		for i := range used.value.Periods {
			u := &used.value.Periods[i]
			counts := usageRow(moment(&u.Start), u.Events, u.Deliveries, u.Attempts, u.Successes, u.Failures, u.Bytes)
			rows = append(rows, append([]string{u.TenantID, clean(known(u.ExternalID))}, counts...))
		}
		p.table(rows)
	})
	more(s, used.value.NextCursor)
	return err
}
