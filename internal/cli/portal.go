package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	grapnelapi "grapnel/clients/go"
)

type portalCommand struct {
	Create createPortalCommand `cmd:"" help:"Print a link with which a customer opens the application for one tenant."`
	List   listPortalCommand   `cmd:"" help:"List the sessions that have not ended, newest first."`
	Revoke revokePortalCommand `cmd:"" help:"End a session, or with --all every session of the tenant."`
}

type createPortalCommand struct {
	connection
	output
	Capabilities []string      `required:"" env:"-" enum:"view,test,retry,manage,secrets" help:"What its holder may do, separated by commas: view, test, retry, manage, secrets. Each includes view."`
	ExpiresIn    time.Duration `default:"1h" env:"-" help:"How long the link is valid: 1m to 168h."`
	Called       string        `name:"name" env:"-" placeholder:"NAME" help:"For whom or what it is. The audit log names it."`
	Mode         string        `name:"theme" enum:",light,dark,system" default:"" env:"-" help:"How the application looks: light, dark or system."`
	Accent       string        `env:"-" placeholder:"#RRGGBB" help:"The application's colour."`
	LogoText     string        `env:"-" placeholder:"TEXT" help:"The text in place of the product's name."`
}

// Run creates a session and prints its link.
func (c *createPortalCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.ExpiresIn%time.Second != 0 {
		return failf(codeWrong, "--expires-in %v: want whole seconds", c.ExpiresIn)
	}
	request := grapnelapi.CreatePortalSessionRequest{Name: given(c.Called), ExpiresIn: new(int64(c.ExpiresIn / time.Second))}
	for _, capability := range c.Capabilities {
		request.Capabilities = append(request.Capabilities, grapnelapi.PortalCapability(capability))
	}
	theme := grapnelapi.PortalTheme{Mode: given(grapnelapi.PortalThemeMode(c.Mode)), Accent: given(c.Accent), LogoText: given(c.LogoText)}
	if theme != (grapnelapi.PortalTheme{}) {
		request.Theme = &theme
	}
	created, err := take[grapnelapi.CreatedPortalSession](client.CreatePortalSessionWithResponse(ctx, request))
	if err != nil {
		return err
	}
	return c.show(s, created.raw, func(p *printer) {
		v := &created.value
		p.facts(
			"link", clean(v.URL), "id", v.ID, "tenant", v.Tenant, "name", clean(known(v.Name)),
			"capabilities", capabilities(v.Capabilities), "expires", moment(&v.ExpiresAt),
		)
	})
}

func capabilities(list []grapnelapi.PortalCapability) string {
	names := make([]string, 0, len(list))
	for _, c := range list {
		names = append(names, clean(string(c)))
	}
	return strings.Join(names, ",")
}

type listPortalCommand struct {
	connection
	output
	paging
}

// Run lists sessions.
func (c *listPortalCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list, err := take[grapnelapi.PortalSessionList](client.ListPortalSessionsWithResponse(ctx, &grapnelapi.ListPortalSessionsParams{
		Limit: &c.Limit, Cursor: given(c.Cursor),
	}))
	if err != nil {
		return err
	}
	err = c.show(s, list.raw, func(p *printer) {
		rows := [][]string{{"ID", "NAME", "CAPABILITIES", "CREATED", "EXPIRES"}}
		var tenants []*string
		for i := range list.value.PortalSessions {
			v := &list.value.PortalSessions[i]
			rows = append(rows, []string{v.ID, clean(known(v.Name)), capabilities(v.Capabilities), moment(&v.CreatedAt), moment(&v.ExpiresAt)})
			if c.Tenant == allTenants { // otherwise it says no more than the command
				tenants = append(tenants, &v.Tenant)
			}
		}
		p.table(withTenants(rows, tenants))
	})
	more(s, list.value.NextCursor)
	return err
}

type revokePortalCommand struct {
	connection
	ID  string `arg:"" optional:"" help:"The session's id: ps_…"`
	All bool   `env:"-" help:"End every session of the tenant."`
}

// Run ends a session, or all of a tenant.
func (c *revokePortalCommand) Run(ctx context.Context, s Streams) error {
	if c.All == (c.ID != "") {
		return failf(codeWrong, "give the id of a session, or --all")
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if !c.All {
		if err := answered(client.RevokePortalSessionWithResponse(ctx, c.ID)); err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.Out, c.ID, "revoked")
		return err
	}
	revoked, err := take[grapnelapi.RevokedPortalSessions](client.RevokePortalSessionsWithResponse(ctx))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%d sessions revoked\n", revoked.value.Revoked)
	return err
}
