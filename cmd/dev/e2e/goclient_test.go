package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	grapnelapi "grapnel/clients/go"
)

// operations are the operations of the OpenAPI document. As an http.RoundTripper it records which of them succeed.
type operations struct {
	mux    *http.ServeMux
	mu     sync.Mutex
	missed map[string]bool // operation ids without a success so far
	next   http.RoundTripper
}

// operationsOf reads the OpenAPI document that the API serves.
func operationsOf(t testing.TB, c *apiClient) *operations {
	t.Helper()
	code, text, err := c.send(t.Context(), http.MethodGet, "/openapi.json", "", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(text, &doc))
	o := &operations{mux: http.NewServeMux(), missed: map[string]bool{}, next: c.transport.Transport}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			o.missed[op.OperationID] = true
			o.mux.HandleFunc(strings.ToUpper(method)+" "+path, func(http.ResponseWriter, *http.Request) {
				o.mu.Lock()
				defer o.mu.Unlock()
				delete(o.missed, op.OperationID)
			})
		}
	}
	require.NotEmpty(t, o.missed)
	return o
}

// RoundTrip implements http.RoundTripper.
func (o *operations) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.next.RoundTrip(r)
	if err == nil && response.StatusCode < http.StatusMultipleChoices {
		o.mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	return response, err
}

// tour calls the API's operations with the generated client.
type tour struct {
	*grapnelapi.ClientWithResponses
	t        testing.TB
	receiver *recorder
}

// must returns the body of a successful answer.
func must[T any](t testing.TB, answer grapnelapi.Answer, err error, body func() *T) T {
	t.Helper()
	succeeds(t, answer, err)
	require.NotNil(t, body(), "%s: %s", answer.Status(), answer.GetBody())
	return *body()
}

func succeeds(t testing.TB, answer grapnelapi.Answer, err error) {
	t.Helper()
	require.NoError(t, err)
	require.NoError(t, grapnelapi.Check(answer))
}

// The Go client can call every operation of the OpenAPI document: a new operation must be added to this tour.
func TestGoClientCallsEveryOperation(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	o := operationsOf(t, c)
	client, err := grapnelapi.New(c.url, c.key, grapnelapi.WithHTTPClient(&http.Client{Transport: o, Timeout: time.Minute}))
	require.NoError(t, err)
	to := &tour{ClientWithResponses: client, t: t, receiver: newRecorder(t)}
	to.accounts(t.Context())
	to.standard(t.Context())
	to.momento(t.Context())
	to.commenda(t.Context())
	require.Empty(t, slices.Sorted(maps.Keys(o.missed)), "operations that the tour does not call")
}

// The client returns a problem as an error whose text contains the whole problem.
func TestGoClientProblems(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	client, err := grapnelapi.New(c.url, c.key)
	require.NoError(t, err)
	wrong, err := client.CreateWebhookWithResponse(t.Context(), grapnelapi.CreateWebhookRequest{URL: "nowhere", Events: []string{"*"}})
	require.NoError(t, err)
	var p *grapnelapi.Problem
	require.ErrorAs(t, grapnelapi.Check(wrong), &p)
	require.EqualValues(t, http.StatusUnprocessableEntity, p.Status)
	require.Equal(t, "INVALID_ARGUMENT", p.Code)
	require.Equal(t, p, wrong.JSONDefault)
	require.Equal(t, "validation failed: body.url must be an absolute http or https URL (422 INVALID_ARGUMENT)", p.Error())

	stranger, err := grapnelapi.New(c.url, "gk_nobody")
	require.NoError(t, err)
	refused, err := stranger.ListWebhooksWithResponse(t.Context(), nil)
	require.NoError(t, err)
	require.ErrorContains(t, grapnelapi.Check(refused), "(401 UNAUTHENTICATED)")

	// A proxy between the client and the API may answer without a problem document.
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html>")
	}))
	t.Cleanup(gateway.Close)
	behind, err := grapnelapi.New(gateway.URL, c.key)
	require.NoError(t, err)
	failed, err := behind.ListWebhooksWithResponse(t.Context(), nil)
	require.NoError(t, err)
	require.EqualError(t, grapnelapi.Check(failed), "the server answered 502 Bad Gateway")
}

// accounts makes the requests of an operator and of a tenant's admin.
func (to *tour) accounts(ctx context.Context) {
	t := to.t
	t.Helper()
	created, err := to.CreateTenantWithResponse(ctx, grapnelapi.CreateTenantRequest{Name: fmt.Sprint("tour ", time.Now().UnixNano())})
	tenant := must(t, created, err, created.GetJSON201)
	tenants, err := to.ListTenantsWithResponse(ctx, &grapnelapi.ListTenantsParams{Limit: new(int64(1))})
	require.Equal(t, tenant.ID, must(t, tenants, err, tenants.GetJSON200).Tenants[0].ID)
	own := fmt.Sprint("tour/", time.Now().UnixNano())
	put, err := to.PutTenantWithResponse(ctx, own, grapnelapi.PutTenantRequest{})
	require.Equal(t, own, *must(t, put, err, put.GetJSON201).ExternalID)
	changed, err := to.UpdateTenantWithResponse(ctx, own, grapnelapi.UpdateTenantRequest{Name: new("tour")})
	require.Equal(t, "tour", must(t, changed, err, changed.GetJSON200).Name)
	read, err := to.GetTenantWithResponse(ctx, own)
	require.Equal(t, own, *must(t, read, err, read.GetJSON200).ExternalID)

	made, err := to.CreateAPIKeyWithResponse(ctx, grapnelapi.CreateAPIKeyRequest{
		Name: "tour", Scopes: []grapnelapi.CreateScope{grapnelapi.CreateScopePublish}, ExpiresAt: new(time.Now().Add(time.Hour)),
	})
	key := must(t, made, err, made.GetJSON201)
	keys, err := to.ListAPIKeysWithResponse(ctx, nil)
	require.Equal(t, key.ID, must(t, keys, err, keys.GetJSON200).APIKeys[0].ID)
	token, err := to.CreateTopicTokenWithResponse(ctx, grapnelapi.CreateTopicTokenRequest{CacheName: "tour", Topics: []string{"a"}})
	require.NotEmpty(t, must(t, token, err, token.GetJSON201).Token)
	to.portal(ctx, own)
	revoked, err := to.RevokeAPIKeyWithResponse(ctx, key.ID)
	succeeds(t, revoked, err)
	log, err := to.ListAuditLogWithResponse(ctx, &grapnelapi.ListAuditLogParams{Target: &key.ID})
	entries := must(t, log, err, log.GetJSON200).Entries
	require.Equal(t, []string{"api_key.revoked", "api_key.created"}, []string{entries[0].Action, entries[1].Action})
	usage, err := to.GetUsageWithResponse(ctx, nil)
	require.Equal(t, grapnelapi.UsageBy("day"), must(t, usage, err, usage.GetJSON200).By)
	stats, err := to.GetStatsWithResponse(ctx, &grapnelapi.GetStatsParams{Step: new(grapnelapi.GetStatsParamsStep("minute")), From: new(time.Now().Add(-time.Hour))})
	require.Len(t, must(t, stats, err, stats.GetJSON200).Points, 61)
	compared, err := to.ListWebhookStatsWithResponse(ctx, nil)
	require.LessOrEqual(t, len(must(t, compared, err, compared.GetJSON200).Webhooks), 100)
	changes, err := to.GetChangesWithResponse(ctx, nil)
	require.True(t, must(t, changes, err, changes.GetJSON200).Changed)
	batch, err := to.PublishEventsWithResponse(ctx, grapnelapi.PublishEventsRequest{Events: []grapnelapi.PublishEventRequest{
		{Type: "user.created", Data: 1, Tenant: &own}, {Type: "user.created", Data: 1, Tenant: new("nobody")},
	}})
	results := must(t, batch, err, batch.GetJSON202).Results
	require.Equal(t, put.JSON201.ID, *results[0].TenantID)
	require.Equal(t, "TENANT_NOT_FOUND", results[1].Error.Code)
	for _, name := range []string{own, "*"} {
		used, err := to.GetTenantUsageWithResponse(ctx, name, &grapnelapi.GetTenantUsageParams{By: new(grapnelapi.GetTenantUsageParamsBy("hour"))})
		periods := must(t, used, err, used.GetJSON200).Periods
		require.True(t, slices.ContainsFunc(periods, func(p grapnelapi.TenantUsagePeriod) bool { return p.TenantID == put.JSON201.ID && p.Events == 1 }))
	}
	gone, err := to.DeleteTenantWithResponse(ctx, own)
	require.Equal(t, grapnelapi.TenantStatusDeleting, must(t, gone, err, gone.GetJSON202).Status)
}

// portal makes, lists and revokes portal sessions of a tenant.
func (to *tour) portal(ctx context.Context, tenant string) {
	t := to.t
	t.Helper()
	acting := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Grapnel-Tenant", tenant)
		return nil
	}
	request := grapnelapi.CreatePortalSessionRequest{Capabilities: []grapnelapi.PortalCapability{grapnelapi.PortalCapabilityRetry}, Name: new("tour")}
	var ids []string
	for range 2 {
		created, err := to.CreatePortalSessionWithResponse(ctx, request, acting)
		session := must(t, created, err, created.GetJSON201)
		require.True(t, strings.HasSuffix(session.URL, "/console/#token="+session.Token))
		ids = append(ids, session.ID)
	}
	listed, err := to.ListPortalSessionsWithResponse(ctx, nil, acting)
	require.Len(t, must(t, listed, err, listed.GetJSON200).PortalSessions, 2)
	one, err := to.RevokePortalSessionWithResponse(ctx, ids[0], acting)
	succeeds(t, one, err)
	rest, err := to.RevokePortalSessionsWithResponse(ctx, acting)
	require.EqualValues(t, 1, must(t, rest, err, rest.GetJSON200).Revoked)
	session, err := to.GetSessionWithResponse(ctx)
	require.EqualValues(t, "platform", must(t, session, err, session.GetJSON200).Kind)
}

func (to *tour) standard(ctx context.Context) {
	t := to.t
	t.Helper()
	name := fmt.Sprintf("goclient.t%d", time.Now().UnixNano())
	put, err := to.PutEventTypeWithResponse(ctx, name, grapnelapi.PutEventTypeRequest{Description: new("of the tour")})
	require.Equal(t, name, must(t, put, err, put.GetJSON201).Name)
	types, err := to.ListEventTypesWithResponse(ctx, nil)
	require.True(t, slices.ContainsFunc(must(t, types, err, types.GetJSON200).EventTypes, func(e grapnelapi.EventType) bool { return e.Name == name }))

	unused, err := to.PutEventTypeWithResponse(ctx, name+".unused", grapnelapi.PutEventTypeRequest{Deprecated: new(true), Group: new("tour")})
	require.True(t, must(t, unused, err, unused.GetJSON201).Deprecated)
	dropped, err := to.DeleteEventTypeWithResponse(ctx, name+".unused")
	succeeds(t, dropped, err)

	created, err := to.CreateWebhookWithResponse(ctx, grapnelapi.CreateWebhookRequest{
		URL: to.receiver.URL, Events: []string{name}, Headers: map[string]string{"X-Tour": "1"}, TimeoutSeconds: new(int64(5)),
	})
	webhook := must(t, created, err, created.GetJSON201)
	require.Equal(t, grapnelapi.WebhookProfileStandard, webhook.Profile)
	require.Equal(t, map[string]string{"X-Tour": "***"}, webhook.Headers)
	updated, err := to.UpdateWebhookWithResponse(ctx, webhook.ID, grapnelapi.UpdateWebhookRequest{Description: new("changed"), Headers: &map[string]string{}})
	require.Empty(t, must(t, updated, err, updated.GetJSON200).Headers)
	got, err := to.GetWebhookWithResponse(ctx, webhook.ID)
	require.Equal(t, "changed", *must(t, got, err, got.GetJSON200).Description)
	listed, err := to.ListWebhooksWithResponse(ctx, &grapnelapi.ListWebhooksParams{Event: &name, Profile: new(grapnelapi.WebhookProfileStandard)})
	require.Len(t, must(t, listed, err, listed.GetJSON200).Webhooks, 1)
	secret, err := to.GetWebhookSecretWithResponse(ctx, webhook.ID)
	require.Equal(t, webhook.Secret, must(t, secret, err, secret.GetJSON200).Secret)
	rotated, err := to.RotateWebhookSecretWithResponse(ctx, webhook.ID, grapnelapi.RotateSecretRequest{})
	require.NotEqual(t, webhook.Secret, must(t, rotated, err, rotated.GetJSON200).Secret)
	tested, err := to.TestWebhookWithResponse(ctx, webhook.ID, grapnelapi.TestWebhookRequest{})
	require.Equal(t, grapnelapi.DeliveryStatusSuccess, must(t, tested, err, tested.GetJSON200).Status)

	data := map[string]any{"text": "é😀", "number": 1.5, "nothing": nil}
	published, err := to.PublishEventWithResponse(ctx, &grapnelapi.PublishEventParams{IdempotencyKey: new(name)}, grapnelapi.PublishEventRequest{Type: name, Data: data})
	event := must(t, published, err, published.GetJSON202)
	require.EqualValues(t, 1, event.Deliveries)
	batch, err := to.PublishEventsWithResponse(ctx, grapnelapi.PublishEventsRequest{Events: []grapnelapi.PublishEventRequest{{Type: name, Data: 1}, {Type: "goclient.none", Data: 2}}})
	results := must(t, batch, err, batch.GetJSON202).Results
	require.NotNil(t, results[0].Event)
	require.ErrorContains(t, results[1].Error, "is not a known event type")
	stored, err := to.GetEventWithResponse(ctx, event.ID)
	require.Equal(t, data, must(t, stored, err, stored.GetJSON200).Data)
	events, err := to.ListEventsWithResponse(ctx, &grapnelapi.ListEventsParams{Type: &name})
	require.Len(t, must(t, events, err, events.GetJSON200).Events, 2)
	to.log(ctx, webhook.ID)
	to.replays(ctx, webhook.ID)
	signingKeys, err := to.GetSigningKeysWithResponse(ctx, nil)
	must(t, signingKeys, err, signingKeys.GetJSON200)
	deleted, err := to.DeleteWebhookWithResponse(ctx, webhook.ID)
	succeeds(t, deleted, err)
}

// replays counts the events of a replay, starts the replay, and cancels it.
func (to *tour) replays(ctx context.Context, webhook string) {
	t := to.t
	t.Helper()
	request := grapnelapi.ReplayWebhookRequest{Since: time.Now().Add(-time.Hour), Status: grapnelapi.ReplayStatusAll, Rate: new(int64(1)), DryRun: new(true)}
	counted, err := to.ReplayWebhookWithResponse(ctx, webhook, request)
	require.True(t, must(t, counted, err, counted.GetJSON200).DryRun)
	request.DryRun = nil
	begun, err := to.ReplayWebhookWithResponse(ctx, webhook, request)
	id := must(t, begun, err, begun.GetJSON202).ID
	paused, err := to.PauseReplayWithResponse(ctx, id)
	require.Equal(t, grapnelapi.ReplayStatePaused, must(t, paused, err, paused.GetJSON200).State)
	changed, err := to.UpdateReplayWithResponse(ctx, id, grapnelapi.UpdateReplayRequest{Rate: 2})
	require.EqualValues(t, 2, must(t, changed, err, changed.GetJSON200).Rate)
	resumed, err := to.ResumeReplayWithResponse(ctx, id)
	require.Equal(t, grapnelapi.ReplayStateRunning, must(t, resumed, err, resumed.GetJSON200).State)
	canceled, err := to.CancelReplayWithResponse(ctx, id)
	require.Equal(t, grapnelapi.ReplayStateCanceled, must(t, canceled, err, canceled.GetJSON200).State)
	got, err := to.GetReplayWithResponse(ctx, id)
	require.NotNil(t, must(t, got, err, got.GetJSON200).Progress)
	since, missing := time.Now().Add(-time.Hour), grapnelapi.ReplayStatusMissing
	over, err := to.CreateReplayWithResponse(ctx, grapnelapi.CreateReplayRequest{WebhookIds: &[]string{webhook}, Since: &since, Status: &missing, DryRun: new(true)})
	require.Len(t, *must(t, over, err, over.GetJSON200).Webhooks, 1)
	listed, err := to.ListReplaysWithResponse(ctx, &grapnelapi.ListReplaysParams{WebhookID: &webhook})
	require.Len(t, must(t, listed, err, listed.GetJSON200).Replays, 1)
}

// log waits for the webhook's deliveries and retries one of them.
func (to *tour) log(ctx context.Context, webhook string) {
	t := to.t
	t.Helper()
	var deliveries []grapnelapi.Delivery
	waitFor(t, "two deliveries", func() bool {
		page, err := to.ListDeliveriesWithResponse(ctx, webhook, &grapnelapi.ListDeliveriesParams{Status: new(grapnelapi.DeliveryStatusSuccess)})
		deliveries = slices.DeleteFunc(must(t, page, err, page.GetJSON200).Deliveries, func(d grapnelapi.Delivery) bool { return d.Test != nil })
		return len(deliveries) == 2
	})
	found, err := to.SearchDeliveriesWithResponse(ctx, &grapnelapi.SearchDeliveriesParams{
		WebhookID: &webhook, Status: &[]grapnelapi.DeliveryStatus{grapnelapi.DeliveryStatusSuccess}, EventType: &deliveries[0].EventType,
	})
	require.NotEmpty(t, must(t, found, err, found.GetJSON200).Deliveries)
	named, err := to.FindIDWithResponse(ctx, &grapnelapi.FindIDParams{ID: deliveries[0].ID})
	things := must(t, named, err, named.GetJSON200).Items
	require.Len(t, things, 1)
	require.Equal(t, grapnelapi.FoundKindDelivery, things[0].Kind)
	got, err := to.GetDeliveryWithResponse(ctx, deliveries[0].ID)
	require.Len(t, must(t, got, err, got.GetJSON200).AttemptLog, 1)
	body := "{}"
	diagnosed, err := to.DiagnoseDeliveryWithResponse(ctx, deliveries[0].ID, grapnelapi.DiagnoseRequest{Headers: map[string]string{}, Body: &body})
	require.EqualValues(t, "body_altered", must(t, diagnosed, err, diagnosed.GetJSON200).Verdict)
	retried, err := to.RetryDeliveryWithResponse(ctx, deliveries[0].ID)
	require.EqualValues(t, 2, must(t, retried, err, retried.GetJSON200).Attempts)
}

func (to *tour) momento(ctx context.Context) {
	t := to.t
	t.Helper()
	// Each name is one path segment, whatever characters it contains.
	cache, name, topic := fmt.Sprint("tour/", time.Now().UnixNano()), "a hook?", "room #281é"
	put, err := to.PutMomentoWebhookWithResponse(ctx, cache, name, grapnelapi.PutMomentoWebhookRequest{
		Destination: grapnelapi.PutMomentoWebhookDestination{PostURL: to.receiver.URL}, TopicName: topic,
	})
	secret := must(t, put, err, put.GetJSON200).SecretString
	got, err := to.GetMomentoWebhookSecretWithResponse(ctx, cache, name)
	require.Equal(t, secret, must(t, got, err, got.GetJSON200).Secret)
	rotated, err := to.RotateMomentoWebhookSecretWithResponse(ctx, cache, name)
	require.NotEqual(t, secret, must(t, rotated, err, rotated.GetJSON200).Secret)
	listed, err := to.ListMomentoWebhooksWithResponse(ctx, cache, nil)
	require.Equal(t, topic, must(t, listed, err, listed.GetJSON200).Webhooks[0].TopicName)

	const text = `"quoted" text, not JSON: é😀`
	said, err := to.PublishTopicMessageWithTextBodyWithResponse(ctx, cache, topic, nil, text)
	succeeds(t, said, err)
	followed, err := to.FollowTopicWithResponse(ctx, cache, topic, &grapnelapi.FollowTopicParams{SequenceNumber: new(int64(1))})
	require.Equal(t, text, must(t, followed, err, followed.GetJSON200).Items[0].Item.Value.Text)
	waitFor(t, "the message's delivery", func() bool {
		log, err := to.ListMomentoDeliveriesWithResponse(ctx, cache, name, nil)
		list := must(t, log, err, log.GetJSON200).Deliveries
		return len(list) == 1 && list[0].Status == grapnelapi.DeliveryStatusSuccess
	})
	deleted, err := to.DeleteMomentoWebhookWithResponse(ctx, cache, name)
	succeeds(t, deleted, err)
}

func (to *tour) commenda(ctx context.Context) {
	t := to.t
	t.Helper()
	topic := fmt.Sprint("TOUR.", time.Now().UnixNano())
	created, err := to.CreateCommendaWebhookWithResponse(ctx, grapnelapi.CreateCommendaWebhookRequest{URL: to.receiver.URL, Topics: []string{topic}})
	webhook := must(t, created, err, created.GetJSON200).Data
	require.NotEmpty(t, webhook.Key)
	updated, err := to.UpdateCommendaWebhookWithResponse(ctx, webhook.ID, grapnelapi.UpdateCommendaWebhookRequest{Name: new("tour")})
	require.Equal(t, "tour", must(t, updated, err, updated.GetJSON200).Data.Name)
	got, err := to.GetCommendaWebhookWithResponse(ctx, webhook.ID)
	require.Equal(t, grapnelapi.CommendaWebhookStatusENABLED, must(t, got, err, got.GetJSON200).Data.Status)
	listed, err := to.ListCommendaWebhooksWithResponse(ctx, nil)
	require.True(t, slices.ContainsFunc(must(t, listed, err, listed.GetJSON200).Data.Webhooks, func(w grapnelapi.CommendaWebhook) bool { return w.ID == webhook.ID }))
	triggered, err := to.TriggerCommendaWebhookWithResponse(ctx, webhook.ID, grapnelapi.TriggerCommendaWebhookRequest{EventData: map[string]any{}})
	must(t, triggered, err, triggered.GetJSON200)
	published, err := to.PublishCommendaEventWithResponse(ctx, nil, grapnelapi.PublishCommendaEventRequest{Topic: topic, Data: map[string]any{}})
	event := must(t, published, err, published.GetJSON202).Data
	waitFor(t, "the event's delivery", func() bool {
		log, err := to.ListCommendaDeliveriesWithResponse(ctx, webhook.ID, &grapnelapi.ListCommendaDeliveriesParams{Status: new(grapnelapi.DeliveryStatusSuccess)})
		return slices.ContainsFunc(must(t, log, err, log.GetJSON200).Deliveries, func(d grapnelapi.CommendaDelivery) bool { return d.EventID == event.ID })
	})
	deleted, err := to.DeleteCommendaWebhookWithResponse(ctx, webhook.ID)
	succeeds(t, deleted, err)
}
