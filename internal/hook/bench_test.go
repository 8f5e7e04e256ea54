package hook_test

import (
	"fmt"
	"testing"

	"grapnel/internal/hook"
)

// BenchmarkCandidates measures the part of matching that Grapnel does outside of the database: listing the patterns
// that may match an event's type, by the number of its parts.
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

// BenchmarkWants measures asking webhooks one by one whether they subscribe to an event, as finding the reasons for not
// delivering it does.
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
