package api_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

// searching is a store whose first page of a filtered list is empty: it has looked at as many entries as it may, the
// last of them being newest.
type searching struct {
	api.Store
	newest [16]byte
}

func (s *searching) Events(ctx context.Context, of hook.TenantFilter, f hook.EventFilter, p hook.Page) ([]hook.Event, *[16]byte, error) {
	if p.Before == nil {
		return nil, &s.newest, nil
	}
	return s.Store.Events(ctx, of, f, p)
}

func (s *searching) Deliveries(ctx context.Context, w hook.WebhookID, f hook.DeliveryFilter, p hook.Page) ([]hook.Delivery, *[16]byte, error) {
	if p.Before == nil {
		return nil, &s.newest, nil
	}
	return s.Store.Deliveries(ctx, w, f, p)
}

// An empty page has a cursor that leads to the entries.
func TestAnEmptyPageLeadsOn(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) {
		s := &searching{Store: d.Store}
		for i := range s.newest {
			s.newest[i] = 0xff
		}
		d.Store = s
	})
	id := f.newWebhook(t, "user.created")
	f.post(t, "/v1/events", `{"type":"user.created","data":{}}`).object(t, http.StatusAccepted)
	for path, list := range map[string]string{
		"/v1/events?type=user.created":                               "events",
		"/v1/webhooks/" + id + "/deliveries?event_type=user.created": "deliveries",
	} {
		page := f.get(t, path).object(t, http.StatusOK)
		require.Equal(t, []any{}, page[list])
		require.NotNil(t, page["next_cursor"])
		page = f.get(t, path+"&cursor="+page["next_cursor"].(string)).object(t, http.StatusOK)
		require.Len(t, page[list], 1)
		require.Nil(t, page["next_cursor"])
	}
}
