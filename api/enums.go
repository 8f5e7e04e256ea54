package api

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// enum is a set of values with a name, so that generated clients have one type for it and not one for each place where
// it occurs. schema and member say where its values are taken from.
type enum struct{ name, schema, member string }

func enums() []enum {
	return []enum{
		{"CommendaAPIVersion", "CommendaWebhook", "api_version"},
		{"CommendaWebhookStatus", "CommendaWebhook", "status"},
		{"DeliveryStatus", "Delivery", "status"},
		{"CreateScope", "CreateAPIKeyRequest", "scopes"},
		{"DiagnosisCause", "DiagnosisFinding", "cause"},
		{"DiagnosisVerdict", "Diagnosis", "verdict"},
		{"FoundKind", "FoundThing", "kind"},
		{"ErrorClass", "AttemptError", "class"},
		{"NotDeliveredReason", "NotDelivered", "reason"},
		{"LeftOutReason", "ReplayedWebhook", "left_out"},
		{"PortalCapability", "PortalSession", "capabilities"},
		{"ReplayState", "Replay", "state"},
		{"ReplayStatus", "Replay", "status"},
		{"Scope", "APIKey", "scopes"},
		{"SignatureScheme", "Webhook", "signature_schemes"},
		{"WaitReason", "Waiting", "reason"},
		{"WebhookProfile", "Webhook", "profile"},
		{"WebhookStatus", "Webhook", "status"},
	}
}

// nameEnums makes every schema with the values of a named enum refer to that enum. Descriptions and examples of the
// single places stay.
func nameEnums(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	named := make(map[string]*huma.Schema, len(enums()))
	for _, e := range enums() {
		values := *element(schemas[e.schema].Properties[e.member]) // a copy, because the original will refer to it
		values.Description = schemas[e.schema].Properties[e.member].Description
		named[e.name] = &values
	}
	for _, schema := range schemas {
		for _, member := range schema.Properties {
			refer(named, element(member))
		}
	}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				refer(named, element(p.Schema))
			}
		}
	}
	for name, schema := range named {
		schemas[name] = schema
	}
}

// element returns the schema of the elements of a list, or the schema itself if it is no list.
func element(s *huma.Schema) *huma.Schema {
	if s.Type == huma.TypeArray {
		return s.Items
	}
	return s
}

func refer(named map[string]*huma.Schema, s *huma.Schema) {
	for name, schema := range named {
		if len(s.Enum) == len(schema.Enum) && !slices.ContainsFunc(s.Enum, func(v any) bool { return !slices.Contains(schema.Enum, v) }) {
			// The schema is changed in place, because Huma validates with the schemas that it has.
			*s = huma.Schema{Ref: "#/components/schemas/" + name, Description: s.Description, Examples: s.Examples, Default: s.Default}
			return
		}
	}
}
