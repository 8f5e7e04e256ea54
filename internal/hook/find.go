package hook

import "errors"

// ThingKind says what kind of thing an id names, where any kind is looked up.
type ThingKind string

// The kinds of things that are found by their ids.
const (
	ThingDelivery ThingKind = "delivery"
	ThingEvent    ThingKind = "event"
	ThingWebhook  ThingKind = "webhook"
	ThingReplay   ThingKind = "replay"
	ThingTenant   ThingKind = "tenant"
)

// ThingID is an id together with the kind of thing that it names.
type ThingID struct {
	Kind ThingKind
	ID   [16]byte
}

// String returns the id as it is written, such as del_…; "" if the kind is unknown.
func (id ThingID) String() string {
	switch id.Kind {
	case ThingDelivery:
		return DeliveryID(id.ID).String()
	case ThingEvent:
		return EventID(id.ID).String()
	case ThingWebhook:
		return WebhookID(id.ID).String()
	case ThingReplay:
		return ReplayID(id.ID).String()
	case ThingTenant:
		return TenantID(id.ID).String()
	default:
		return ""
	}
}

// Thing is what an id names, with the tenant that it belongs to. A tenant belongs to itself.
type Thing struct {
	ThingID
	TenantID TenantID
	// Cache and Topic decide who may read it: of an event and a delivery the event's, of a webhook only Cache. Topic is
	// the type of an event without a cache.
	Cache, Topic string
}

// ParseThingIDs reads an id of any kind that can be looked up. A plain UUID, as Commenda's surface shows them, does not say
// what it names: it is returned once for each kind of that surface. The error says what is wrong with the text.
func ParseThingIDs(text string) ([]ThingID, error) {
	if len(text) == uuidLen {
		id, err := ParseEventID(text)
		if err != nil {
			return nil, errors.New("is not an id: the UUID is not valid")
		}
		return []ThingID{{ThingDelivery, id}, {ThingEvent, id}, {ThingWebhook, id}}, nil
	}
	for _, kind := range []struct {
		kind   ThingKind
		prefix string
	}{
		{ThingDelivery, prefixDelivery},
		{ThingEvent, prefixEvent},
		{ThingWebhook, prefixWebhook},
		{ThingReplay, prefixReplay},
		{ThingTenant, prefixTenant},
	} {
		if id, err := parseID[[16]byte](kind.prefix, text); err == nil {
			return []ThingID{{kind.kind, id}}, nil
		}
	}
	return nil, errors.New("is not an id of a delivery (del_…), an event (evt_…), a webhook (hook_…), a replay (rpl_…) or a tenant (ten_…)")
}
