package api

import (
	"context"
	"net/http"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

type tenantStore interface {
	CreateTenant(ctx context.Context, t hook.Tenant, text hook.Secret) (hook.Tenant, hook.APIKey, error)
	Tenants(ctx context.Context, p hook.Page) ([]hook.Tenant, bool, error)
}

// Tenant is an account.
type Tenant struct {
	ID        string    `json:"id" doc:"The account's id." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	Name      string    `json:"name" doc:"The account's name. Names are unique." example:"acme"`
	CreatedAt time.Time `json:"created_at" doc:"When it was created." example:"2026-01-15T12:00:00Z"`
}

// CreatedTenant is a tenant with its first API key, which no other answer shows.
type CreatedTenant struct {
	Tenant
	APIKey CreatedAPIKey `json:"api_key" doc:"An admin key of the account. Only this answer shows it."`
}

func viewTenant(t *hook.Tenant) Tenant {
	return Tenant{ID: t.ID.String(), Name: t.Name, CreatedAt: seconds(t.CreatedAt)}
}

type createTenantRequest struct {
	Name string `json:"name" minLength:"1" maxLength:"100" doc:"What it is called." example:"acme"`
}

type createTenantInput struct {
	Body createTenantRequest
}

type createTenantOutput struct {
	Body CreatedTenant
}

type listTenantsInput struct {
	Paging
}

type tenantList struct {
	Tenants    []Tenant `json:"tenants" doc:"This page of accounts, newest first."`
	NextCursor *string  `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page." example:"AXQBmrHU6q9ekr-Xz5m6pYVu"`
}

type listTenantsOutput struct {
	Body tenantList
}

func (a *API) registerTenants() {
	register(a, operation{
		id: "create-tenant", method: http.MethodPost, path: "/v1/tenants", tag: tagStandard, status: http.StatusCreated, operator: true,
		summary: "Create a tenant", errors: []int{http.StatusConflict},
		description: "Creates an account with an admin key, which only this answer shows. For the operator's key, GRAPNEL_ADMIN_KEY.",
	}, a.createTenant)
	register(a, operation{
		id: "list-tenants", method: http.MethodGet, path: "/v1/tenants", tag: tagStandard, operator: true,
		summary: "List tenants", description: "Newest first. For the operator's key, GRAPNEL_ADMIN_KEY.",
	}, a.listTenants)
}

func (a *API) createTenant(ctx context.Context, in *createTenantInput) (*createTenantOutput, error) {
	t := hook.Tenant{Name: in.Body.Name}
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

func (a *API) listTenants(ctx context.Context, in *listTenantsInput) (*listTenantsOutput, error) {
	page, err := in.page(listTenants)
	if err != nil {
		return nil, err
	}
	tenants, more, err := a.Store.Tenants(ctx, page)
	if err != nil {
		return nil, err
	}
	views, next := tenantPages().answer(ctx, tenants, more)
	return &listTenantsOutput{Body: tenantList{views, next}}, nil
}

func tenantPages() pages[hook.Tenant, Tenant] {
	return pages[hook.Tenant, Tenant]{kind: listTenants, id: func(t *hook.Tenant) [16]byte { return t.ID }, bytes: tenantBytes, view: viewTenant}
}
