package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// layoutBinary and layoutProduct are layouts of the processes: see --processes.
const (
	layoutBinary  = "binary"
	layoutProduct = "product"
)

// prepareBinary builds the grapnel binary if the layout needs one and the options name none.
func (b *bencher) prepareBinary(ctx context.Context) error {
	if b.Processes == layoutBinary && b.Profile != "" {
		b.Processes = layoutProduct // only this program writes profiles of itself
	}
	if b.Processes != layoutBinary || b.Binary != "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "grapnel-bench-")
	if err != nil {
		return err
	}
	b.built, b.Binary = dir, filepath.Join(dir, "grapnel")
	b.progress("building grapnel")
	build := exec.CommandContext(ctx, "go", "build", "-o", b.Binary, "grapnel/cmd/grapnel") //nolint:gosec // the Go command
	if out, err := build.CombinedOutput(); err != nil {
		b.removeBinary()
		return fmt.Errorf("go build grapnel/cmd/grapnel, in the directory cmd/dev of the source (or name a --binary): %w\n%s", err, out)
	}
	return nil
}

// removeBinary removes the binary that prepareBinary has built.
func (b *bencher) removeBinary() {
	if b.built != "" {
		_ = os.RemoveAll(b.built) // a temporary directory
	}
}
