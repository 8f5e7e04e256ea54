package storage_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// K10: usage by tenant has each tenant's periods, from both tables, page by page, those of tenants that are gone as well.
func TestUsageByTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	day := time.Now().UTC().Truncate(24 * time.Hour)
	var tenants []hook.TenantID
	for i := range 7 {
		tenants = append(tenants, f.customer(t, fmt.Sprint("c", i)))
	}
	add := func(table string, tenant hook.TenantID, hour time.Time, events int) {
		f.exec(t, `insert into `+table+` (tenant_id, hour, events, deliveries, bytes, attempts, successes) values ($1, $2, $3, 2, 3, 5, 4)`, [16]byte(tenant), hour, events)
	}
	for i, tenant := range tenants[:5] {
		for d := range 3 {
			for h := range i + 1 {
				add("tenant_usage", tenant, day.AddDate(0, 0, -d).Add(time.Duration(h)*time.Hour), 1)
			}
		}
	}
	add("usage_deltas", tenants[0], day, 10) // also in the other table
	add("usage_deltas", tenants[5], day, 20) // here alone, after all others
	add("usage_deltas", tenants[6], day.AddDate(0, 0, -30), 30)
	f.exec(t, `delete from event_types`)
	f.exec(t, `delete from tenants where id = $1`, [16]byte(tenants[1]))

	read := func(filter hook.UsageFilter, limit int) (all []hook.TenantUsage, pages int) {
		var after hook.UsageMark
		for {
			list, next, err := f.UsageByTenant(t.Context(), filter, after, limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(list), limit)
			all, pages = append(all, list...), pages+1
			if next == nil {
				return all, pages
			}
			require.NotEqual(t, after, *next, "it leads on")
			after = *next
		}
	}
	for _, by := range []hook.UsagePeriod{hook.ByDay, hook.ByHour} {
		filter := hook.UsageFilter{Of: hook.TenantFilter{All: true}, Since: day.AddDate(0, 0, -1), Until: day.AddDate(0, 0, 1), By: by}
		want, err := f.Usage(t.Context(), filter)
		require.NoError(t, err)
		slices.SortStableFunc(want, func(a, b hook.Usage) int { return slices.Compare(a.TenantID[:], b.TenantID[:]) })
		for _, limit := range []int{1, 2, 3, 1000} {
			got, _ := read(filter, limit)
			require.Len(t, got, len(want), "by %s, %d in a page", by, limit)
			for i := range want {
				require.Equal(t, want[i], got[i].Usage)
				external := fmt.Sprint("c", slices.Index(tenants, want[i].TenantID))
				if want[i].TenantID == tenants[1] {
					external = "" // it is gone
				}
				require.Equal(t, external, got[i].ExternalID)
			}
		}
	}
	// However long the time, a page looks at a limited number of hours.
	long := hook.UsageFilter{Of: hook.TenantFilter{All: true}, Since: day.AddDate(0, 0, -900), Until: day.AddDate(0, 0, 1), By: hook.ByDay}
	all, pages := read(long, 1000)
	require.Len(t, all, 5*3+2)
	require.Greater(t, pages, 1)
	none, pages := read(hook.UsageFilter{Of: hook.TenantFilter{All: true}, Since: day.AddDate(0, 0, 5), Until: day.AddDate(0, 0, 6), By: hook.ByDay}, 10)
	require.Empty(t, none)
	require.Equal(t, 1, pages)
}
