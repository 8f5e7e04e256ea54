package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

// K5: with a platform key each event of a batch may name its own tenant, by id or by external id; without a name it is of the
// request's tenant. An unknown one refuses that event alone.
func TestABatchOfSeveralTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a, b := f.customer(t, "a"), f.customer(t, "é / b")
	f.newWebhook(t, "user.created")
	for _, name := range []string{"a", b.String()} {
		f.naming(name).newWebhook(t, "user.*")
	}
	event := func(tenant string) string { return `{"type":"user.created","data":1,"tenant":"` + tenant + `"}` }
	const none = `{"type":"user.created","data":1}`
	for header, own := range map[string]hook.TenantID{"": hook.DefaultTenant(), "a": a} {
		c := f.client
		if header != "" {
			c = c.naming(header)
		}
		results := c.batch(t, event("a"), none, event(b.String()), event("nobody"), event("*"), event(""), event("ten_x"), event("é / b"), event("default"),
			event(hook.TenantID{1}.String()), `{"type":"user.created","data":1,"tenant":7}`, event("a\\u0000"), `{"type":"user.create","data":1,"tenant":"a"}`)
		for i, want := range map[int]hook.TenantID{0: a, 1: own, 2: b, 7: b, 8: hook.DefaultTenant()} {
			require.Equal(t, http.StatusAccepted, results[i].Status)
			require.Equal(t, want.String(), results[i].TenantID)
			id, err := hook.ParseEventID(results[i].Event["id"].(string))
			require.NoError(t, err)
			require.Equal(t, [16]byte(want), value[[16]byte](t, f, `select tenant_id from events where id = $1`, [16]byte(id)))
			require.EqualValues(t, 1, results[i].Event["deliveries"])
		}
		for _, i := range []int{3, 6, 9, 11} {
			require.Equal(t, []any{http.StatusNotFound, "TENANT_NOT_FOUND"}, []any{results[i].Status, results[i].Error.Code})
			require.Contains(t, results[i].Error.at(t, fmt.Sprintf("body.events[%d].tenant", i)), "is not the id")
			require.Empty(t, results[i].TenantID)
		}
		for i, text := range map[int]string{4: "must name one tenant", 5: "must not be empty", 10: "string"} {
			require.Equal(t, http.StatusUnprocessableEntity, results[i].Status)
			require.Contains(t, results[i].Error.at(t, fmt.Sprintf("body.events[%d].tenant", i)), text)
		}
		results[12].Error.at(t, "body.events[12].type")
		require.Equal(t, a.String(), results[12].TenantID)
	}
	require.Equal(t, 10, value[int](t, f, `select count(*) from events`))
	require.Equal(t, 10, value[int](t, f, `select count(*) from deliveries d join webhooks w on w.id = d.webhook_id where w.tenant_id = d.tenant_id`))
	for _, start := range f.dispatched.starts {
		id := [16]byte(start.EventID)
		require.Equal(t, [16]byte(start.TenantID), value[[16]byte](t, f, `select tenant_id from events where id = $1`, id), "each event is started for its tenant")
	}
	f.post(t, "/v1/events", event("a")).refused(t, "body.tenant", "Grapnel-Tenant")
}

// K5: a tenant's own key can name its own tenant, and for it any other is unknown.
func TestABatchOfATenantsOwnKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	theirs, mine := f.customer(t, "theirs"), f.customer(t, "mine")
	key := f.as(f.newKey(t, mine, hook.ScopePublish))
	var list []string
	names := []string{"mine", mine.String(), "theirs", theirs.String(), "default", "*", "nobody"}
	for _, name := range names {
		list = append(list, `{"type":"user.created","data":1,"id":"`+name+`","tenant":"`+name+`"}`)
	}
	// An event of another tenant under the same idempotency key is no reason to answer as if this one were accepted.
	f.naming("theirs").post(t, "/v1/events", `{"type":"user.created","data":1,"id":"theirs"}`).object(t, http.StatusAccepted)
	f.as(f.newKey(t, mine, hook.ScopePublish)).post(t, "/v1/events", `{"type":"user.created","data":1,"id":"nobody"}`).object(t, http.StatusAccepted)
	var unknown *problem
	for i, r := range key.batch(t, list...) {
		require.Empty(t, r.TenantID, "only platform keys are told")
		if i < 2 {
			require.Equal(t, http.StatusAccepted, r.Status)
			continue
		}
		require.Equal(t, http.StatusNotFound, r.Status, names[i])
		r.Error.Errors[0].Location = ""
		if unknown != nil {
			require.Equal(t, unknown, r.Error, "the answer does not say whether there is such a tenant")
		}
		unknown = r.Error
	}
	require.Equal(t, 3, value[int](t, f, `select count(*) from events where tenant_id = $1`, [16]byte(mine)))
}

// K5, S7, S8: types, schemas and idempotency keys are those of each event's tenant.
func TestEventsOfABatchMeetTheirTenantsRules(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, name := range []string{"a", "b", "c"} {
		f.customer(t, name)
	}
	f.naming("a").putSchema(t, `{"type":"string"}`)
	f.naming("b").putSchema(t, `{"type":"number"}`)
	event := func(tenant, data, more string) string {
		return `{"type":"invoice.paid","data":` + data + `,"tenant":"` + tenant + `"` + more + `}`
	}
	for range 2 { // also once the types are in the cache
		results := f.batch(t, event("a", `"x"`, ""), event("b", `"x"`, ""), event("a", `1`, ""), event("b", `1`, ""), event("c", `1`, ""))
		for i, location := range map[int]string{1: "/data", 2: "/data", 4: ".type"} {
			require.Equal(t, http.StatusUnprocessableEntity, results[i].Status)
			results[i].Error.at(t, fmt.Sprintf("body.events[%d]%s", i, location))
		}
		require.Equal(t, []int{http.StatusAccepted, http.StatusAccepted}, []int{results[0].Status, results[3].Status})
	}
	first := f.batch(t, event("a", `"x"`, `,"id":"one"`), event("b", `1`, `,"id":"one"`), event("a", `"x"`, `,"id":"one"`), event("a", `"y"`, `,"id":"one"`))
	require.NotEqual(t, first[0].Event["id"], first[1].Event["id"], "each tenant's keys are its own")
	require.Equal(t, true, first[2].Event["duplicate"])
	require.Equal(t, http.StatusConflict, first[3].Status)
	// A repeat is accepted, whatever has changed since, and only in its own tenant.
	f.naming("a").putSchema(t, `false`)
	f.naming("b").putSchema(t, `false`)
	again := f.batch(t, event("b", `1`, `,"id":"one"`), event("a", `"x"`, `,"id":"one"`), event("b", `"x"`, `,"id":"two"`))
	require.Equal(t, []any{first[1].Event["id"], true, first[0].Event["id"], true},
		[]any{again[0].Event["id"], again[0].Event["duplicate"], again[1].Event["id"], again[1].Event["duplicate"]})
	require.Equal(t, http.StatusUnprocessableEntity, again[2].Status)
	// The request's key and an event's place identify it in its tenant.
	keyed := func() []batchResult {
		return f.do(t, "POST", "/v1/events/batch", batchOf(
			`{"type":"user.created","data":1,"tenant":"a"}`, `{"type":"user.created","data":1,"tenant":"b"}`,
		), map[string]string{"Idempotency-Key": "whole"}).results(t, 2)
	}
	before, after := keyed(), keyed()
	for i := range before {
		require.Equal(t, []any{before[i].Event["id"], true}, []any{after[i].Event["id"], after[i].Event["duplicate"]})
	}
}

// lookUps counts the calls of the store by which a batch looks things up.
type lookUps struct {
	api.Store
	tenants, types, names, single, stored atomic.Int64
}

func (s *lookUps) FindTenants(ctx context.Context, names []string) (map[string]hook.NamedTenant, error) {
	s.tenants.Add(1)
	return s.Store.FindTenants(ctx, names)
}

func (s *lookUps) FindTenant(ctx context.Context, name string) (hook.Tenant, error) {
	s.single.Add(1)
	return s.Store.FindTenant(ctx, name)
}

func (s *lookUps) LookUpEventTypesOf(ctx context.Context, asked []hook.TypesAsked) ([]hook.TypesFound, error) {
	s.types.Add(1)
	return s.Store.LookUpEventTypesOf(ctx, asked)
}

func (s *lookUps) LookUpEventTypes(ctx context.Context, tenant hook.TenantID, names []string) ([]string, map[string]hook.SchemaHash, error) {
	s.single.Add(1)
	return s.Store.LookUpEventTypes(ctx, tenant, names)
}

func (s *lookUps) EventType(ctx context.Context, tenant hook.TenantID, name string) (hook.EventType, error) {
	s.single.Add(1)
	return s.Store.EventType(ctx, tenant, name)
}

func (s *lookUps) EventTypeNames(ctx context.Context, tenant hook.TenantID) ([]string, error) {
	s.names.Add(1)
	return s.Store.EventTypeNames(ctx, tenant)
}

func (s *lookUps) PublishAll(ctx context.Context, list []hook.Publication) ([]hook.Accepted, []error) {
	s.stored.Add(1)
	return s.Store.PublishAll(ctx, list)
}

// take returns the counts, and begins anew.
func (s *lookUps) take() (tenants, types, names, single, stored int64) {
	return s.tenants.Swap(0), s.types.Swap(0), s.names.Swap(0), s.single.Swap(0), s.stored.Swap(0)
}

// K5: a batch of a hundred events looks as much up for a hundred tenants as for one, also if all tenants or all types are
// unknown.
func TestLookUpsOfABatch(t *testing.T) {
	t.Parallel()
	store := &lookUps{}
	f := setup(t, func(d *api.Deps) {
		store.Store = d.Store
		d.Store = store
	})
	const schema = `{"schema":{"type":"object"}}`
	f.owning().do(t, "PUT", "/v1/event-types/invoice.paid", schema, nil).object(t, http.StatusCreated)
	for i := range 100 {
		f.customer(t, fmt.Sprint("c", i))
		f.naming(fmt.Sprint("c", i)).do(t, "PUT", "/v1/event-types/invoice.paid", schema, nil).object(t, http.StatusCreated)
	}
	batch := func(eventType, prefix string, tenants int) []batchResult {
		var list []string
		for i := range 100 {
			list = append(list, fmt.Sprintf(`{"type":"%s","data":{},"tenant":"%s%d"}`, eventType, prefix, i%tenants))
		}
		return f.batch(t, list...)
	}
	batch("invoice.paid", "c", 100) // the schema is compiled
	store.take()
	for _, tenants := range []int{1, 100} {
		require.False(t, slices.ContainsFunc(batch("invoice.paid", "c", tenants), func(r batchResult) bool { return r.Status != http.StatusAccepted }))
		looked, types, names, single, stored := store.take()
		require.Equal(t, []int64{1, 1, 0, 0, 1}, []int64{looked, types, names, single, stored})
	}
	for _, r := range batch("invoice.pay", "c", 100) {
		require.Equal(t, http.StatusUnprocessableEntity, r.Status)
	}
	looked, types, names, single, _ := store.take()
	require.Equal(t, []int64{1, 1, 5, 0}, []int64{looked, types, names, single}, "few names are suggested")
	for _, r := range batch("invoice.paid", strings.Repeat("n", 10), 100) {
		require.Equal(t, http.StatusNotFound, r.Status)
	}
	looked, types, names, single, _ = store.take()
	require.Equal(t, []int64{1, 0, 0, 0}, []int64{looked, types, names, single})
	f.batch(t, `{"type":"user.created","data":1}`)
	looked, _, _, _, _ = store.take()
	require.Zero(t, looked, "a batch that names no tenant looks none up")
}

// K5, K7, K8: each event of a batch counts for the rate of its own tenant, and is refused if that is suspended or being
// deleted.
func TestBatchOverTenantsThatMayNot(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, name := range []string{"slow", "held", "gone", "free"} {
		f.customer(t, name)
	}
	f.do(t, "PATCH", "/v1/tenants/slow", `{"limits":{"publish_rate":1}}`, nil).object(t, http.StatusOK)
	f.do(t, "PATCH", "/v1/tenants/held", `{"status":"suspended"}`, nil).object(t, http.StatusOK)
	f.do(t, "DELETE", "/v1/tenants/gone", "", nil).object(t, http.StatusAccepted)
	event := func(tenant string) string {
		return fmt.Sprintf(`{"type":"user.created","data":1,"tenant":"%s"}`, tenant)
	}
	for range 2 { // the caller's own tenant is not suspended, also from the cache
		results := f.batch(t, event("free"), event("held"), event("gone"), `{"type":"user.created","data":1}`)
		require.Equal(t, []int{202, 403, 404, 202}, statuses(results))
		require.Equal(t, "TENANT_SUSPENDED", results[1].Error.Code)
		require.Equal(t, "TENANT_NOT_FOUND", results[2].Error.Code)
	}
	results := f.batch(t, event("slow"), event("free"), event("slow"), event("free"))
	require.Equal(t, []int{202, 202, 429, 202}, statuses(results))
	require.Equal(t, "LIMIT_EXCEEDED", results[2].Error.Code)
	// The request's tenant is suspended, that of one event is not.
	held := f.naming("held").batch(t, `{"type":"user.created","data":1}`, event("free"))
	require.Equal(t, []int{403, 202}, statuses(held))
}

func statuses(results []batchResult) (list []int) {
	for _, r := range results {
		list = append(list, r.Status)
	}
	return list
}
