package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	grapnelapi "grapnel/clients/go"
)

type eventTypesCommand struct {
	List   listEventTypesCommand  `cmd:"" help:"List event types: built-in ones first, then shared ones and your own by name."`
	Get    getEventTypeCommand    `cmd:"" help:"Show an event type, with its schema."`
	Put    putEventTypeCommand    `cmd:"" help:"Add an event type, or change the given settings. With a platform key and without --tenant it is for all tenants."`
	Delete deleteEventTypeCommand `cmd:"" help:"Delete an event type to which no webhook subscribes by name."`
}

// typeName is the argument of commands on one event type.
type typeName struct {
	Name string `arg:"" help:"The event type's name."`
}

type listEventTypesCommand struct {
	connection
	output
	Limit      int64  `default:"100" env:"-" help:"Number of entries at most, up to 1000."`
	Cursor     string `env:"-" help:"Where to continue: the cursor that the previous page printed."`
	Group      string `env:"-" help:"Only event types of this group."`
	Deprecated string `enum:",true,false" default:"" env:"-" help:"Only those that are deprecated (true), or only the others (false)."`
}

// Run lists event types.
func (c *listEventTypesCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list, err := take[grapnelapi.EventTypeList](client.ListEventTypesWithResponse(ctx, &grapnelapi.ListEventTypesParams{
		Limit: &c.Limit, Cursor: given(c.Cursor), Group: given(c.Group), Deprecated: given(grapnelapi.ListEventTypesParamsDeprecated(c.Deprecated)),
	}))
	if err != nil {
		return err
	}
	err = c.show(s, list.raw, func(p *printer) {
		rows := [][]string{{"NAME", "KIND", "GROUP", "SCHEMA", "DESCRIPTION"}}
		for i := range list.value.EventTypes {
			t := &list.value.EventTypes[i]
			schema := ""
			if t.Schema != nil {
				schema = "yes"
			}
			rows = append(rows, []string{clean(t.Name), kindOf(t), clean(known(t.Group)), schema, clean(t.Description)})
		}
		p.table(rows)
	})
	more(s, list.value.NextCursor)
	return err
}

// kindOf says whose an event type is, and whether it is deprecated.
func kindOf(t *grapnelapi.EventType) string {
	kind := "own"
	switch {
	case t.BuiltIn:
		kind = "built-in"
	case t.Shared:
		kind = "shared"
	}
	if t.Deprecated {
		kind += ",deprecated"
	}
	return kind
}

type getEventTypeCommand struct {
	connection
	output
	typeName
}

// Run shows an event type.
func (c *getEventTypeCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	raw, err := findEventType(ctx, client, c.Name)
	if err != nil {
		return err
	}
	if raw == nil {
		return failf(codeNotFound, "there is no event type %s", c.Name)
	}
	return c.showEventType(s, raw)
}

// showEventType prints an event type.
func (o *output) showEventType(s Streams, raw []byte) error {
	var t struct {
		grapnelapi.EventType
		// Digit for digit.
		Schema  json.RawMessage `json:"schema"`
		Example json.RawMessage `json:"example"`
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return stranger(err)
	}
	return o.show(s, raw, func(p *printer) {
		p.facts(
			"name", clean(t.Name), "kind", kindOf(&t.EventType), "group", clean(known(t.Group)), "description", clean(t.Description),
			"created", moment(t.CreatedAt), "schema", clean(string(t.Schema)), "example", clean(string(t.Example)),
		)
	})
}

// findEventType returns an event type as the API answers it, nil if there is none. The API has lists of them only.
func findEventType(ctx context.Context, client *grapnelapi.ClientWithResponses, name string) ([]byte, error) {
	for cursor := (*string)(nil); ; {
		list, err := take[struct {
			EventTypes []json.RawMessage `json:"event_types"`
			NextCursor *string           `json:"next_cursor"`
		}](client.ListEventTypesWithResponse(ctx, &grapnelapi.ListEventTypesParams{Cursor: cursor}))
		if err != nil {
			return nil, err
		}
		for _, raw := range list.value.EventTypes {
			var t struct{ Name string }
			if err := json.Unmarshal(raw, &t); err != nil {
				return nil, stranger(err)
			}
			if t.Name == name {
				return raw, nil
			}
		}
		if cursor = list.value.NextCursor; cursor == nil {
			return nil, nil
		}
	}
}

type putEventTypeCommand struct {
	connection
	output
	typeName
	Description *string `env:"-" help:"What such an event means."`
	Group       *string `env:"-" help:"Name under which to show it together with others; empty for none."`
	Deprecated  string  `enum:",true,false" default:"" env:"-" help:"Whether to leave it out where people choose event types: true or false."`
	Schema      string  `env:"-" placeholder:"FILE" help:"File with the JSON Schema that data must meet; - is standard input. Default: the present schema."`
	NoSchema    bool    `env:"-" help:"Remove the schema."`
}

// Validate refuses combinations of flags without a meaning.
func (c *putEventTypeCommand) Validate() error {
	if c.Schema != "" && c.NoSchema {
		return errors.New("--schema and --no-schema exclude each other")
	}
	return nil
}

// Run adds or changes an event type.
func (c *putEventTypeCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	put := map[string]any{}
	if c.Description != nil {
		put["description"] = *c.Description
	}
	if c.Group != nil {
		put["group"] = *c.Group
	}
	if c.Deprecated != "" {
		put["deprecated"] = c.Deprecated == "true"
	}
	schema, err := c.schema(ctx, s, client)
	if err != nil {
		return err
	}
	if schema != nil {
		put["schema"] = schema
	}
	text, err := json.Marshal(put)
	if err != nil {
		return err
	}
	t, err := take[grapnelapi.EventType](client.PutEventTypeWithBodyWithResponse(ctx, c.Name, jsonType, bytes.NewReader(text)))
	if err != nil {
		return err
	}
	return c.showEventType(s, t.raw)
}

// schema returns the schema to put; nil for none. The API removes a schema that is not given, so the present one is read
// if no flag says otherwise.
func (c *putEventTypeCommand) schema(ctx context.Context, s Streams, client *grapnelapi.ClientWithResponses) (json.RawMessage, error) {
	switch {
	case c.NoSchema:
		return nil, nil
	case c.Schema == "":
		raw, err := findEventType(ctx, client, c.Name)
		if err != nil || raw == nil {
			return nil, err
		}
		var t struct{ Schema json.RawMessage }
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, stranger(err)
		}
		return t.Schema, nil
	}
	in, _, err := s.open(c.Schema)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if err := valid(text); err != nil {
		return nil, failf(codeWrong, "--schema %w", err)
	}
	return json.RawMessage(strings.TrimSpace(string(text))), nil
}

type deleteEventTypeCommand struct {
	connection
	typeName
}

// Run deletes an event type.
func (c *deleteEventTypeCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if err := answered(client.DeleteEventTypeWithResponse(ctx, c.Name)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Out, c.Name, "deleted")
	return err
}
