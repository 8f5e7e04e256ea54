package storage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// BenchmarkPublish measures accepting events of 300 bytes for one webhook, by one publisher and by 64 at once.
// PostgreSQL runs as in tests (without fsync): the benchmark of the whole stack includes the disk.
func BenchmarkPublish(b *testing.B) {
	f := setup(b)
	f.webhook(b, events("user.created"))
	data := []byte(fmt.Sprintf(`{"filler":%q}`, strings.Repeat("x", 280)))
	for _, publishers := range []int{1, 64} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			b.ReportAllocs()
			todo := make(chan struct{}, b.N)
			for range b.N {
				todo <- struct{}{}
			}
			close(todo)
			failed := make(chan error, publishers)
			for range publishers {
				go func() {
					for range todo {
						_, err := f.Publish(b.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: data})
						if err != nil {
							failed <- err
							return
						}
					}
					failed <- nil
				}()
			}
			for range publishers {
				require.NoError(b, <-failed)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
