package main

import (
	"context"
	"os"
	"os/user"
	"strconv"

	"grapnel/internal/hook"
)

// asOperator returns a context whose changes the audit log has as those of the operating system's user (K11). Every
// command that changes something in the database uses it.
func asOperator(ctx context.Context) context.Context {
	name := "uid " + strconv.Itoa(os.Getuid()) // in a container the user may have no name
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	return hook.WithActor(ctx, hook.Actor{Kind: hook.ActorCLI, ID: name, Name: name})
}
