package api

import (
	"net/http"
	"strings"
)

// The documentation page shows operations by audience and resource (P8). A resource is found by the beginning of the path.

// docsGroup is an audience, with its resources.
type docsGroup struct {
	name      string
	resources []docsResource
}

// docsResource is a resource as the documentation page shows it.
type docsResource struct {
	name, description string
	// paths are the beginnings of its operations' paths. Of several that fit, the longest decides.
	paths []string
}

func docsGroups() []docsGroup {
	return []docsGroup{
		{"For your backend", []docsResource{
			{"Events", "Publish what has happened, one event or many, and find out who got it.", []string{"/v1/events"}},
			{"Event types", "The catalogue of what can be subscribed to, with schemas and examples.", []string{"/v1/event-types"}},
		}},
		{"For owners of webhooks", []docsResource{
			{"Webhooks", "Subscriptions of a URL to event types: create, change, pause, test.", []string{"/v1/webhooks"}},
			{"Secrets and keys", "What receivers verify signatures with.", []string{"/v1/webhooks/{id}/secret", "/.well-known/webhook-keys"}},
		}},
		{"For support", []docsResource{
			{"Deliveries", "Every delivery with each of its attempts; send one again; find out why a signature does not verify.", []string{"/v1/deliveries", "/v1/webhooks/{id}/deliveries"}},
			{"Replays", "Send events of the past again, to one webhook or to several.", []string{"/v1/replays", "/v1/webhooks/{id}/replay"}},
			{"Look-up", "What an id names, and whose it is.", []string{"/v1/find"}},
			{"Statistics", "Deliveries and latencies over time, and whether anything is new.", []string{"/v1/stats", "/v1/changes"}},
		}},
		{"For operators", []docsResource{
			{"Tenants", "Your customers: their limits, their life, their usage.", []string{"/v1/tenants"}},
			{"API keys", "Keys with scopes, and short-lived tokens for topics.", []string{"/v1/api-keys", "/v1/topic-tokens"}},
			{"Portal", "Sessions in which your customers use the portal, and what a token may do.", []string{"/v1/portal-sessions", "/v1/session"}},
			{"Usage and audit log", "What was used, and who has changed what.", []string{"/v1/usage", "/v1/audit-log"}},
		}},
		{"Momento's surface", []docsResource{
			{"Topics", "Publish messages to topics of caches, and follow them.", []string{"/topics"}},
			{"Topic webhooks", "Webhooks of a cache's topics.", []string{"/caches"}},
		}},
		{"Commenda's surface", []docsResource{
			{"Commenda webhooks", "Webhooks that subscribe to free-form topics.", []string{"/webhooks"}},
			{"Commenda events", "Publish event objects.", []string{"/events"}},
		}},
	}
}

// resourceOf returns the name of the resource of a path; "" if there is none.
func resourceOf(path string) (name string) {
	longest := 0
	for _, group := range docsGroups() {
		for _, r := range group.resources {
			for _, begin := range r.paths {
				rest, ok := strings.CutPrefix(path, begin)
				if ok && len(begin) > longest && (rest == "" || rest[0] == '/') {
					name, longest = r.name, len(begin)
				}
			}
		}
	}
	return name
}

// groupOperations replaces the tags of a document. Resources without operations are left out.
func groupOperations(doc map[string]any) {
	used := map[string]bool{}
	eachOperation(doc, func(_, path string, op map[string]any) {
		name := resourceOf(path)
		used[name] = true
		op["tags"] = []any{name}
	})
	var tags, groups []any
	for _, group := range docsGroups() {
		var names []any
		for _, r := range group.resources {
			if used[r.name] {
				names = append(names, r.name)
				tags = append(tags, map[string]any{"name": r.name, "description": r.description})
			}
		}
		groups = append(groups, map[string]any{"name": group.name, "tags": names})
	}
	doc["tags"], doc["x-tagGroups"] = tags, groups
}

// eachOperation calls do for each operation of a document, with its method in capitals and its path.
func eachOperation(doc map[string]any, do func(method, path string, op map[string]any)) {
	paths, _ := doc["paths"].(map[string]any)
	for path, item := range paths {
		item, _ := item.(map[string]any)
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete} {
			if op, ok := item[strings.ToLower(method)].(map[string]any); ok {
				do(method, path, op)
			}
		}
	}
}
