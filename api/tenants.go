package api

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

type tenantStore interface {
	CreateTenant(ctx context.Context, t hook.Tenant, text hook.Secret) (hook.Tenant, hook.APIKey, error)
	// PutTenant makes sure that there is a tenant with an external id: it creates one, or changes the one that exists.
	// Neither function may do I/O.
	PutTenant(ctx context.Context, externalID string, create func() (hook.Tenant, error), change func(*hook.Tenant) error) (hook.Tenant, bool, error)
	// FindTenant finds a tenant by its id or external id.
	FindTenant(ctx context.Context, name string) (hook.Tenant, error)
	// FindTenants finds those of the names that tenants have.
	FindTenants(ctx context.Context, names []string) (map[string]hook.NamedTenant, error)
	// UpdateTenant applies change to a tenant and stores the result. change runs within the transaction and must do no
	// I/O.
	UpdateTenant(ctx context.Context, name string, change func(*hook.Tenant) error) (hook.Tenant, error)
	Tenants(ctx context.Context, search hook.TenantSearch, p hook.Page) ([]hook.Tenant, *[16]byte, error)
	// DeleteTenant begins the deletion of a tenant. It changes nothing if that has begun.
	DeleteTenant(ctx context.Context, name string) (hook.Tenant, error)
}

// Tenant is an account: one customer of a platform.
type Tenant struct {
	ID         string            `json:"id" doc:"The account's id." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	ExternalID string            `json:"external_id,omitempty" doc:"Your own id of the account, if you gave one. It stands for the account wherever the id does." example:"customer-4711"`
	Name       string            `json:"name" doc:"The account's name. Several accounts may have the same." example:"acme"`
	Metadata   map[string]string `json:"metadata" doc:"What you noted about it." example:"{\"plan\":\"pro\"}"`
	Status     string            `json:"status" enum:"active,suspended,deleting" doc:"The state of the account. suspended: nothing is published or sent for it, and nothing is lost. deleting: it is being deleted, and its keys are unknown." example:"active"`
	Deletion   *TenantDeletion   `json:"deletion,omitempty" doc:"The progress of its deletion, while its status is deleting."`
	Limits     TenantLimits      `json:"limits" doc:"The account's own limits. Where one is absent, the default of the service holds."`
	CreatedAt  time.Time         `json:"created_at" doc:"When it was created." example:"2026-01-15T12:00:00Z"`
	UpdatedAt  time.Time         `json:"updated_at" doc:"When it was last changed." example:"2026-01-15T12:00:00Z"`
}

// TenantLimits are the limits of one account.
type TenantLimits struct {
	MaxWebhooks *int `json:"max_webhooks,omitempty" doc:"Largest number of webhooks; 0 is no limit." example:"100"`
	PublishRate *int `json:"publish_rate,omitempty" doc:"Largest number of events published per second; 0 is no limit." example:"50"`
}

// CreatedTenant is a tenant with its first API key, which no other answer shows.
type CreatedTenant struct {
	Tenant
	APIKey CreatedAPIKey `json:"api_key" doc:"An admin key of the account. Only this answer shows it."`
}

func viewTenant(t *hook.Tenant) Tenant {
	v := Tenant{
		ID: t.ID.String(), ExternalID: t.ExternalID, Name: t.Name, Metadata: t.Metadata, Status: string(t.Status),
		Deletion: viewDeletion(t), Limits: TenantLimits(t.Limits), CreatedAt: seconds(t.CreatedAt), UpdatedAt: seconds(t.UpdatedAt),
	}
	if v.Metadata == nil {
		v.Metadata = map[string]string{}
	}
	return v
}

type tenantLimitsRequest struct {
	MaxWebhooks *int `json:"max_webhooks,omitempty" nullable:"true" minimum:"0" maximum:"1000000" doc:"Largest number of webhooks; 0 is no limit, null the default of the service." example:"100"`
	PublishRate *int `json:"publish_rate,omitempty" nullable:"true" minimum:"0" maximum:"1000000" doc:"Largest number of events published per second; 0 is no limit, null the default of the service." example:"50"`

	// nulls names the members that are null.
	nulls []string
}

// UnmarshalJSON also notes which members are null.
func (r *tenantLimitsRequest) UnmarshalJSON(b []byte) error {
	type plain tenantLimitsRequest // without this method
	if err := json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	r.nulls = nullMembers(b)
	return nil
}

// apply changes the limits that are given. null takes a limit away.
func (r *tenantLimitsRequest) apply(l *hook.TenantLimits) {
	if r == nil {
		return
	}
	if r.MaxWebhooks != nil {
		l.MaxWebhooks = r.MaxWebhooks
	}
	if r.PublishRate != nil {
		l.PublishRate = r.PublishRate
	}
	for _, name := range r.nulls {
		switch name {
		case "max_webhooks":
			l.MaxWebhooks = nil
		case "publish_rate":
			l.PublishRate = nil
		}
	}
}

type createTenantRequest struct {
	Name       string               `json:"name" minLength:"1" maxLength:"100" doc:"What it is called. Names need not be unique." example:"acme"`
	ExternalID *string              `json:"external_id,omitempty" minLength:"1" maxLength:"255" doc:"Your own id of the account: printable characters, not beginning with ten_. No other account may have it, and it can't be changed." example:"customer-4711"`
	Metadata   map[string]string    `json:"metadata,omitempty" doc:"Up to 50 pairs: keys of up to 64 characters, values of up to 1,000." example:"{\"plan\":\"pro\"}"`
	Limits     *tenantLimitsRequest `json:"limits,omitempty" doc:"The account's own limits. Default: those of the service."`
}

type createTenantInput struct {
	Body createTenantRequest
}

type createTenantOutput struct {
	Body CreatedTenant
}

type putTenantRequest struct {
	Name     *string              `json:"name,omitempty" minLength:"1" maxLength:"100" doc:"What it is called. Default for a new account: the external id." example:"acme"`
	Metadata *map[string]string   `json:"metadata,omitempty" nullable:"true" doc:"Replaces all pairs; null removes them. Up to 50: keys of up to 64 characters, values of up to 1,000." example:"{\"plan\":\"pro\"}"`
	Limits   *tenantLimitsRequest `json:"limits,omitempty" doc:"Limits to change. null in place of one takes it away, so that the default of the service holds."`

	// nulls names the members that are null.
	nulls []string
}

// UnmarshalJSON also notes which members are null.
func (r *putTenantRequest) UnmarshalJSON(b []byte) error {
	type plain putTenantRequest // without this method
	if err := json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	r.nulls = nullMembers(b)
	return nil
}

type updateTenantRequest struct {
	ExternalID *string              `json:"external_id,omitempty" minLength:"1" maxLength:"255" doc:"Your own id of the account, if it has none yet: printable characters, not beginning with ten_." example:"customer-4711"`
	Name       *string              `json:"name,omitempty" minLength:"1" maxLength:"100" doc:"What it is called." example:"acme"`
	Status     *string              `json:"status,omitempty" enum:"active,suspended" doc:"suspended: nothing is published or sent for the account, and its deliveries wait. active: they are sent." example:"suspended"`
	Metadata   *map[string]string   `json:"metadata,omitempty" nullable:"true" doc:"Replaces all pairs; null removes them. Up to 50: keys of up to 64 characters, values of up to 1,000." example:"{\"plan\":\"pro\"}"`
	Limits     *tenantLimitsRequest `json:"limits,omitempty" doc:"Limits to change. null in place of one takes it away, so that the default of the service holds."`

	// nulls names the members that are null.
	nulls []string
}

// UnmarshalJSON also notes which members are null.
func (r *updateTenantRequest) UnmarshalJSON(b []byte) error {
	type plain updateTenantRequest // without this method
	if err := json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	r.nulls = nullMembers(b)
	return nil
}

// TenantPath is the path of a tenant. It is exported for the same reason as IDPath.
type TenantPath struct {
	Tenant string `path:"tenant" maxLength:"1020" doc:"The account's id, ten_…, or your own id of it, percent-encoded." example:"customer-4711"`
}

type tenantInput struct{ TenantPath }

type putTenantInput struct {
	TenantPath
	Body putTenantRequest
}

type updateTenantInput struct {
	TenantPath
	Body updateTenantRequest
}

type tenantOutput struct {
	Body Tenant
}

type putTenantOutput struct {
	Status int
	Body   Tenant
}

type listTenantsInput struct {
	Paging
	Status string `query:"status" enum:"active,suspended,deleting" doc:"Only accounts in this state."`
	Name   string `query:"name" maxLength:"100" doc:"Only accounts whose names begin with this, in the same case."`
}

type tenantList struct {
	Tenants    []Tenant `json:"tenants" doc:"This page of accounts, newest first."`
	NextCursor *string  `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page. A page of a filtered list ends after a bounded search, so it may be short or empty although more pages follow." example:"AXQBmrHU6q9ekr-Xz5m6pYVu"`
}

type listTenantsOutput struct {
	Body tenantList
}

func (a *API) registerTenants() {
	read := []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}
	register(a, operation{
		id: "create-tenant", portal: portalClosed, method: http.MethodPost, path: "/v1/tenants", tag: tagStandard, status: http.StatusCreated, platform: true,
		summary: "Create a tenant", errors: []int{http.StatusConflict},
		description: "Creates an account with an admin key, which only this answer shows. For platform keys.",
	}, a.createTenant)
	register(a, operation{
		id: "put-tenant", portal: portalClosed, method: http.MethodPut, path: "/v1/tenants/{tenant}", tag: tagStandard, platform: true, created: true,
		summary: "Create or update a tenant", errors: []int{http.StatusConflict},
		description: "Makes sure that there is an account with your own id of it, so that a backend can call it before every use: 201 if the " +
			"account is new, 200 if it existed. Members that are left out stay as they are. An account that exists may also be " +
			"named by its id. The account gets no API key. For platform keys.",
	}, a.putTenant)
	register(a, operation{
		id: "list-tenants", portal: portalClosed, method: http.MethodGet, path: "/v1/tenants", tag: tagStandard, platform: true, scopes: read, large: true,
		summary: "List tenants", description: "Newest first. For platform keys.",
	}, a.listTenants)
	register(a, operation{
		id: "get-tenant", portal: portalClosed, method: http.MethodGet, path: "/v1/tenants/{tenant}", tag: tagStandard, platform: true, scopes: read,
		summary: "Get a tenant", description: "For platform keys.",
	}, a.getTenant)
	register(a, operation{
		id: "update-tenant", portal: portalClosed, method: http.MethodPatch, path: "/v1/tenants/{tenant}", tag: tagStandard, platform: true,
		summary: "Update a tenant", errors: []int{http.StatusConflict},
		description: "Changes the given members and keeps the others. An account that has no external id can get one; it can't be changed. " +
			"A suspended account can't publish (403 TENANT_SUSPENDED), and its deliveries wait as if all of its webhooks were paused; when " +
			"it is active again, they are sent. For platform keys.",
	}, a.updateTenant)
	register(a, operation{
		id: "delete-tenant", portal: portalClosed, method: http.MethodDelete, path: "/v1/tenants/{tenant}", tag: tagStandard, platform: true, status: http.StatusAccepted,
		summary: "Delete a tenant", errors: []int{http.StatusConflict},
		description: "Deletes the account with all that it has: webhooks, API keys, topics, event types, events with their payloads, deliveries " +
			"with their logs. From the answer on its keys are unknown and nothing is published or sent for it. The rest is done in the " +
			"background: get-tenant shows the progress until it answers 404; then the external id is free. Usage and the audit log " +
			"stay for their time. It can't be called back. The account default can't be deleted. For platform keys.",
	}, a.deleteTenant)
}

func (a *API) createTenant(ctx context.Context, in *createTenantInput) (*createTenantOutput, error) {
	b := &in.Body
	t := hook.Tenant{Name: b.Name, Metadata: b.Metadata}
	if b.ExternalID != nil {
		t.ExternalID = *b.ExternalID
	}
	b.Limits.apply(&t.Limits)
	if err := t.Validate(); err != nil {
		return nil, err
	}
	text := secrets.NewAPIKey()
	t, k, err := a.Store.CreateTenant(ctx, t, text)
	if err != nil {
		return nil, err
	}
	return &createTenantOutput{Body: CreatedTenant{viewTenant(&t), CreatedAPIKey{viewKey(&k), text.Reveal()}}}, nil
}

func (a *API) putTenant(ctx context.Context, in *putTenantInput) (*putTenantOutput, error) {
	b := &in.Body
	change := func(t *hook.Tenant) error { return changeTenant(t, b.Name, b.Metadata, b.Limits, b.nulls) }
	if _, err := hook.ParseTenantID(in.Tenant); err == nil {
		t, err := a.Store.UpdateTenant(ctx, in.Tenant, change)
		if err != nil {
			return nil, err
		}
		return &putTenantOutput{Status: http.StatusOK, Body: viewTenant(&t)}, nil
	}
	if problem := hook.ExternalIDProblem(in.Tenant); problem != "" {
		return nil, hook.Unprocessable("path.tenant", "%s", problem)
	}
	create := func() (hook.Tenant, error) {
		t := hook.Tenant{ExternalID: in.Tenant, Name: hook.NameFrom(in.Tenant)}
		return t, change(&t)
	}
	t, created, err := a.Store.PutTenant(ctx, in.Tenant, create, change)
	if err != nil {
		return nil, err
	}
	out := &putTenantOutput{Status: http.StatusOK, Body: viewTenant(&t)}
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}

func (a *API) updateTenant(ctx context.Context, in *updateTenantInput) (*tenantOutput, error) {
	b := &in.Body
	t, err := a.Store.UpdateTenant(ctx, in.Tenant, func(t *hook.Tenant) error {
		switch {
		case b.ExternalID == nil || *b.ExternalID == t.ExternalID:
		case t.ExternalID != "":
			return &hook.Error{Kind: hook.KindPrecondition, Message: "the tenant has another external_id, which can't be changed"}
		default:
			t.ExternalID = *b.ExternalID
		}
		if b.Status != nil {
			t.Status = hook.TenantStatus(*b.Status)
		}
		return changeTenant(t, b.Name, b.Metadata, b.Limits, b.nulls)
	})
	if err != nil {
		return nil, err
	}
	return &tenantOutput{Body: viewTenant(&t)}, nil
}

func (a *API) deleteTenant(ctx context.Context, in *tenantInput) (*tenantOutput, error) {
	t, err := a.Store.DeleteTenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	a.Dispatcher.DeleteTenant(t.ID)
	return &tenantOutput{Body: viewTenant(&t)}, nil
}

// changeTenant changes what is given, and validates the result.
func changeTenant(t *hook.Tenant, name *string, metadata *map[string]string, limits *tenantLimitsRequest, nulls []string) error {
	var wrong []hook.Violation
	for _, null := range nulls {
		if null == "metadata" {
			t.Metadata = nil
		} else {
			wrong = append(wrong, notNull(null))
		}
	}
	if err := invalid(wrong); err != nil {
		return err
	}
	if name != nil {
		t.Name = *name
	}
	if metadata != nil {
		t.Metadata = *metadata
	}
	limits.apply(&t.Limits)
	return t.Validate()
}

func (a *API) getTenant(ctx context.Context, in *tenantInput) (*tenantOutput, error) {
	t, err := a.Store.FindTenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return &tenantOutput{Body: viewTenant(&t)}, nil
}

func (a *API) listTenants(ctx context.Context, in *listTenantsInput) (*listTenantsOutput, error) {
	page, err := in.page(listTenants)
	if err != nil {
		return nil, err
	}
	if err := textFilter("name", in.Name); err != nil {
		return nil, err
	}
	tenants, last, err := a.Store.Tenants(ctx, hook.TenantSearch{Status: hook.TenantStatus(in.Status), NamePrefix: in.Name}, page)
	if err != nil {
		return nil, err
	}
	views, next := tenantPages().answerFrom(ctx, tenants, last)
	return &listTenantsOutput{Body: tenantList{views, next}}, nil
}

func tenantPages() pages[hook.Tenant, Tenant] {
	return pages[hook.Tenant, Tenant]{kind: listTenants, id: func(t *hook.Tenant) [16]byte { return t.ID }, bytes: tenantBytes, view: viewTenant}
}
