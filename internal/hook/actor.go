package hook

import "context"

// ActorKind is the kind of client that changes something (K11).
type ActorKind string

// The kinds of actors.
const (
	// ActorKey is an API key.
	ActorKey ActorKind = "api_key"
	// ActorSession is the holder of a portal session.
	ActorSession ActorKind = "portal_session"
	// ActorCLI is a user of the operating system who runs a command on the server.
	ActorCLI ActorKind = "cli"
	// ActorAnonymous is a client of an API without authentication (--auth=none).
	ActorAnonymous ActorKind = "anonymous"
)

// Actor is the client that changes something, as the audit log names it (K11).
type Actor struct {
	Kind ActorKind
	// ID identifies the actor within its kind: the id of an API key or portal session, or the name of the operating
	// system's user.
	ID string
	// Name is the name of the API key or session at the time, or of the operating system's user.
	Name string
	// Address is the IP address that the request came from; empty for commands on the server.
	Address string
}

// Actor returns the key as the actor of a request from an IP address.
func (k *APIKey) Actor(address string) Actor {
	if k.Session != nil {
		return Actor{Kind: ActorSession, ID: k.Session.ID.String(), Name: k.Name, Address: address}
	}
	if k.ID == (KeyID{}) {
		return Actor{Kind: ActorAnonymous, ID: string(ActorAnonymous), Name: k.Name, Address: address}
	}
	return Actor{Kind: ActorKey, ID: k.ID.String(), Name: k.Name, Address: address}
}

type actorKey struct{}

// WithActor returns a context whose changes the store logs as the actor's.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns the actor of the changes that are made with the context. There is none for changes by Grapnel itself.
func ActorOf(ctx context.Context) (Actor, bool) {
	a, ok := ctx.Value(actorKey{}).(Actor)
	return a, ok
}
