package hook_test

import (
	"fmt"
	"testing"

	"grapnel/internal/hook"
)

// BenchmarkCandidates measures the part of matching that is ours: the patterns that
// an event's type may match, by its number of parts.
func BenchmarkCandidates(b *testing.B) {
	for _, eventType := range []string{"ping", "user.created", "order.item.price.changed"} {
		b.Run(eventType, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				hook.Candidates(eventType)
			}
		})
	}
}

// BenchmarkWants measures asking webhooks one by one whether they want an event, as
// the reasons for not delivering it do.
func BenchmarkWants(b *testing.B) {
	for _, patterns := range []int{1, 10, 100} {
		w := hook.Webhook{Profile: hook.ProfileStandard}
		for i := range patterns {
			w.Events = append(w.Events, fmt.Sprintf("type%d.*", i))
		}
		b.Run(fmt.Sprintf("patterns=%d", patterns), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.Wants("", "user.created")
			}
		})
	}
}
