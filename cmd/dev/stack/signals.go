package stack

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"grapnel/internal/wait"
)

// Signal sends a signal that ends the process, unless the process is down already; hit reports whether it was sent.
// await returns when the process is back. between runs before the restart.
func (c *ChildProcess) Signal(sig syscall.Signal, between func(context.Context) error) (await func(context.Context) error, hit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.started
	if c.up && c.cmd.Process.Signal(sig) == nil {
		hit = true
		before++
		c.between = between
	}
	if !hit {
		before = c.started // it only has to start once
	}
	return func(ctx context.Context) error {
		for {
			c.mu.Lock()
			back := c.up && c.started >= before
			c.mu.Unlock()
			if back && c.Answers(ctx) {
				return nil
			}
			if wait.For(ctx, PollInterval) != nil {
				return fmt.Errorf("%s did not come back: see %s", c.Name(), c.Stack.State.Path(c.Name()+".log"))
			}
		}
	}, hit
}

// Answers reports whether an API is ready. Other roles are ready once they have started.
func (c *ChildProcess) Answers(ctx context.Context) bool {
	if c.APIAddr == "" {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return WaitHTTP(ctx, "http://"+c.APIAddr+"/readyz") == nil
}
