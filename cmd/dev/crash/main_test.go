package crash_test

import (
	"bufio"
	"fmt"
	"os"
	"testing"
	"time"

	"grapnel/internal/pgtest"
)

// clockEnv makes this test binary a process that prints the time for every line it reads.
const clockEnv = "GRAPNEL_DEV_TEST_CLOCK"

func TestMain(m *testing.M) {
	if os.Getenv(clockEnv) != "" {
		begin := time.Now()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Println(time.Now().Unix(), time.Since(begin).Milliseconds()) // the test reads it
		}
		os.Exit(0)
	}
	os.Exit(pgtest.Main{M: m, Template: template()}.Run())
}
