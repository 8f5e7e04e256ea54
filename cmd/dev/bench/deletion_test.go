package bench_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

// A case that can't be measured on a target says why.
func TestCasesThatNeedMore(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		bench.CaseDeletion: "no database to store deliveries in",
		bench.CaseAway:     "no Temporal server in a process of its own: use another layout of the processes",
	} {
		_, err := bench.Run(t.Context(), setupScale(t, name))
		require.EqualError(t, err, want)
	}
}
