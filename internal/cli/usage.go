package cli

import (
	"context"
	"strconv"

	grapnelapi "grapnel/clients/go"
)

type usageCommand struct {
	connection
	output
	By    string `enum:"hour,day" default:"day" env:"-" help:"Length of the periods: hour or day. Days are those of UTC."`
	Since when   `env:"-" placeholder:"TIME" help:"From the period of this time on: 2026-01-15T12:00:00Z, 2026-01-15, 15:30, 3pm, yesterday or 2h (ago). Default: 30 days before --until, by hour 24 hours."`
	Until when   `env:"-" placeholder:"TIME" help:"Up to the period before this time. Default: now."`
}

// Run shows the account's usage.
func (c *usageCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	by := grapnelapi.GetUsageParamsBy(c.By)
	used, err := take[grapnelapi.Usage](client.GetUsageWithResponse(ctx, &grapnelapi.GetUsageParams{By: &by, Since: c.Since.given(), Until: c.Until.given()}))
	if err != nil {
		return err
	}
	return c.show(s, used.raw, func(p *printer) {
		rows := [][]string{usageHeadings()}
		for i := range used.value.Periods {
			u := &used.value.Periods[i]
			rows = append(rows, usageRow(moment(&u.Start), u.Events, u.Deliveries, u.Attempts, u.Successes, u.Failures, u.Bytes))
		}
		t := &used.value.Total
		p.table(append(rows, usageRow("total", t.Events, t.Deliveries, t.Attempts, t.Successes, t.Failures, t.Bytes)))
	})
}

func usageHeadings() []string {
	return []string{"START", "EVENTS", "DELIVERIES", "ATTEMPTS", "SUCCESSES", "FAILURES", "BYTES"}
}

// usageRow returns the cells of a period under the headings.
func usageRow(start string, counts ...int64) []string {
	cells := []string{start}
	for _, n := range counts {
		cells = append(cells, strconv.FormatInt(n, 10))
	}
	return cells
}
