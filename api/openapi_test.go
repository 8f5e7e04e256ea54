package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"grapnel/api"
)

func operations(doc *huma.OpenAPI) map[string]*huma.Operation {
	found := map[string]*huma.Operation{}
	for path, item := range doc.Paths {
		for method, op := range methods(item) {
			if op != nil {
				found[method+" "+path] = op
			}
		}
	}
	return found
}

func TestEveryOperationIsDocumented(t *testing.T) {
	t.Parallel()
	doc := api.Document("test")
	kebab, seen := regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`), map[string]bool{}
	var tags []string
	for _, tag := range doc.Tags {
		require.NotEmpty(t, tag.Description, tag.Name)
		tags = append(tags, tag.Name)
	}
	for name, op := range operations(doc) {
		require.Regexp(t, kebab, op.OperationID, name)
		require.False(t, seen[op.OperationID], name)
		seen[op.OperationID] = true
		require.NotEmpty(t, op.Summary, name)
		require.NotEqual(t, op.Summary, op.Description, name)
		require.NotEmpty(t, op.Description, name)
		require.Len(t, op.Tags, 1, name)
		require.Contains(t, tags, op.Tags[0], name)
		security := []map[string][]string{{"bearer": {}}}
		if strings.Contains(name, " /topics/") { // M9
			security = append(security, map[string][]string{"rawKey": {}}, map[string][]string{"tokenKey": {}})
		}
		if op.OperationID == "get-signing-keys" { // it is public
			security = []map[string][]string{}
		}
		require.Equal(t, security, op.Security, name)
		for _, p := range op.Parameters {
			require.NotEmpty(t, p.Description, "%s: %s", name, p.Name)
		}
	}
	require.Contains(t, doc.Components.SecuritySchemes, "bearer")
}

func TestEveryAnswerIsDocumented(t *testing.T) {
	t.Parallel()
	doc := api.Document("test")
	for name, op := range operations(doc) {
		successes := 0
		for status, response := range op.Responses {
			code, err := strconv.Atoi(status)
			require.NoError(t, err, name)
			require.NotEmpty(t, response.Description, "%s: %s", name, status)
			types := slices.Sorted(maps.Keys(response.Content))
			switch {
			case code == http.StatusNoContent:
				require.Empty(t, types, name)
				successes++
			case code < 300:
				want := []string{"application/json"}
				if op.OperationID == "follow-topic" { // M8
					want = append(want, "text/event-stream")
				}
				require.Equal(t, want, types, name)
				require.NotNil(t, response.Content["application/json"].Example, "%s: %s has no example", name, status)
				successes++
			default:
				require.Equal(t, []string{"application/problem+json"}, types, name)
				media := response.Content["application/problem+json"]
				require.Equal(t, "#/components/schemas/Problem", media.Schema.Ref)
				require.EqualValues(t, code, media.Example.(map[string]any)["status"], "%s: the example for %s is of another status", name, status)
				if code == http.StatusUnprocessableEntity {
					require.Contains(t, media.Example, "errors", name)
				}
			}
		}
		require.Positive(t, successes, name)
		want := []string{"400", "422", "500", "503"}
		if len(op.Security) > 0 {
			want = append(want, "401", "403", "429")
		}
		if strings.Contains(name, "{id}") || strings.Contains(name, "{webhookName}") && op.OperationID != "put-momento-webhook" {
			want = append(want, "404")
		}
		if op.RequestBody != nil {
			want = append(want, "408", "413", "415")
		}
		for _, status := range want {
			require.Contains(t, op.Responses, status, name)
		}
	}
}

// An example that its own schema refuses would mislead readers.
func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	doc := api.Document("test")
	fits := func(name string, media *huma.MediaType) {
		text, err := json.Marshal(media.Example)
		require.NoError(t, err)
		var v any
		require.NoError(t, json.Unmarshal(text, &v))
		require.Empty(t, invalid(doc, media.Schema, v), "%s: %s", name, text)
	}
	for name, op := range operations(doc) {
		if op.OperationID == "publish-topic-message" {
			fits(name, op.RequestBody.Content["text/plain"])
		} else if op.RequestBody != nil {
			media := op.RequestBody.Content["application/json"]
			require.NotNil(t, media, name)
			require.NotEmpty(t, media.Schema.Ref, "%s: the body has no schema of its own", name)
			require.NotNil(t, media.Example, name)
			fits(name, media)
		}
		for status, response := range op.Responses {
			for _, media := range response.Content {
				if media.Example != nil {
					fits(name+" "+status, media)
				}
			}
		}
	}
}

// The names of schemas are names of types in generated clients.
func TestSchemaNames(t *testing.T) {
	t.Parallel()
	doc := api.Document("test")
	schemas := doc.Components.Schemas.Map()
	// The name that code generators give the answer of an operation.
	answers := map[string]bool{}
	for _, item := range doc.Paths {
		for _, op := range methods(item) {
			if op != nil {
				answers[strings.ReplaceAll(strings.Title(strings.ReplaceAll(op.OperationID, "-", " ")), " ", "")+"Response"] = true //nolint:staticcheck // ids are ASCII
			}
		}
	}
	require.Equal(t, []string{
		"APIKey", "APIKeyList", "AcceptedEvent", "Attempt", "AttemptError", "AttemptRequest", "AttemptResponse", "AttemptTimings",
		"AuditActor", "AuditChange", "AuditEntry", "AuditLog", "AuditTarget", "BodyDifference",
		"Changes", "CommendaAPIVersion", "CommendaDelivery", "CommendaDeliveryDetail", "CommendaDeliveryList", "CommendaEvent",
		"CommendaEventAccepted", "CommendaWebhook", "CommendaWebhookCreated", "CommendaWebhookFetched", "CommendaWebhookList",
		"CommendaWebhookStatus", "CommendaWebhookTriggered", "CommendaWebhookUpdated", "CommendaWebhookWithKey",
		"CommendaWebhooksFetched", "CreateAPIKeyRequest", "CreateCommendaWebhookRequest", "CreatePortalSessionRequest", "CreateReplayRequest", "CreateScope", "CreateTenantRequest", "CreateTopicTokenRequest",
		"CreateWebhookRequest", "CreatedAPIKey", "CreatedPortalSession", "CreatedTenant", "CreatedWebhook", "Delivery", "DeliveryDetail", "DeliveryList", "DeliveryPage",
		"DeliveryStatus", "DiagnoseRequest", "DiagnosedSignature", "Diagnosis", "DiagnosisCause", "DiagnosisFinding", "DiagnosisVerdict", "ErrorClass", "EstimatedWebhook", "Event", "EventDetail", "EventList", "EventType", "EventTypeList", "Explanation", "FoundKind", "FoundThing", "FoundThings", "LeftOutReason", "MomentoDestination",
		"MomentoSecret", "MomentoSecretString", "MomentoWebhook", "MomentoWebhookID", "MomentoWebhookList", "NotDelivered",
		"NotDeliveredReason", "PortalCapability", "PortalSession", "PortalSessionList", "PortalTheme", "Problem", "ProblemDetail", "PublishCommendaEventRequest", "PublishEventRequest", "PublishEventsRequest",
		"PublishResult", "PublishedEvents", "PutEventTypeRequest", "PutMomentoWebhookDestination", "PutMomentoWebhookRequest", "PutTenantRequest",
		"Replay", "ReplayEstimate", "ReplayList", "ReplayProgress", "ReplayState", "ReplayStatus", "ReplayWebhookRequest", "ReplayedWebhook",
		"RevokedPortalSessions", "RotateSecretRequest", "Scope", "Session", "SessionTenant", "SignatureScheme", "SigningKey", "SigningKeySet", "Stats", "StatsCounts", "StatsPoint", "Tenant", "TenantDeletion", "TenantLimits", "TenantLimitsRequest", "TenantList", "TenantUsage", "TenantUsagePeriod", "TestWebhookRequest",
		"TopicDiscontinuity", "TopicItem", "TopicItemList", "TopicMessage", "TopicToken", "TopicValue", "TriggerCommendaWebhookRequest",
		"UpdateCommendaWebhookRequest", "UpdateReplayRequest", "UpdateTenantRequest", "UpdateWebhookRequest", "Usage", "UsageCounts", "UsagePeriod", "WaitReason", "Waiting", "Warning", "Webhook", "WebhookList", "WebhookProfile",
		"WebhookSecret", "WebhookStats", "WebhookStatsList", "WebhookStatus",
	}, slices.Sorted(maps.Keys(schemas)))
	for name, schema := range schemas {
		require.NotContains(t, answers, name)
		if schema.Type == huma.TypeString { // a named set of values
			require.NotEmpty(t, schema.Enum, name)
			require.NotEmpty(t, schema.Description, name)
			continue
		}
		require.NotEmpty(t, schema.Properties, name)
		for member, property := range schema.Properties {
			require.NotEmpty(t, property.Description, "%s.%s", name, member)
			if strings.Contains(name, "Momento") {
				require.Regexp(t, `^[a-z][A-Za-z]*$`, member, name) // as the published system names them
			} else {
				require.Regexp(t, `^[a-z][a-z0-9_]*$`, member, name)
			}
		}
	}
	// A schema that embeds another has all of its members.
	for larger, smaller := range map[string]string{
		"CreatedWebhook": "Webhook", "DeliveryDetail": "Delivery", "EventDetail": "Event", "CreatedAPIKey": "APIKey", "CreatedPortalSession": "PortalSession", "CreatedTenant": "Tenant",
		"CommendaWebhookWithKey": "CommendaWebhook", "CommendaDelivery": "Delivery", "CommendaDeliveryDetail": "CommendaDelivery",
	} {
		for member := range schemas[smaller].Properties {
			require.Contains(t, schemas[larger].Properties, member, larger)
		}
	}
}

func TestNewWantsItsDependencies(t *testing.T) {
	t.Parallel()
	_, err := api.New(api.Deps{})
	require.Error(t, err)
}

// invalid returns the errors of a JSON value by its schema.
func invalid(doc *huma.OpenAPI, schema *huma.Schema, v any) []error {
	result := &huma.ValidateResult{}
	huma.Validate(doc.Components.Schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, result)
	return result.Errors
}
