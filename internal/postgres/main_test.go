//go:build unix

package postgres_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"

	"grapnel/internal/postgres"
)

// ownerEnv makes the test binary a process that owns a server on the directory
// that it names, for the test that kills such a process.
const ownerEnv = "POSTGRES_OWNER_DATA_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerEnv); dir != "" {
		os.Exit(own(dir))
	}
	goleak.VerifyTestMain(m)
}

// own starts a server, prints its pid and URL, and stays until killed or until
// its standard input ends.
func own(dir string) int {
	s, err := postgres.Start(context.Background(), postgres.Options{DataDir: dir, Durable: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if _, err := fmt.Fprintln(os.Stdout, s.PID(), s.URL("postgres")); err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // waits for its end
	return 0
}
