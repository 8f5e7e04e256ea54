package archtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// product is the binary's package.
const product = modulePath + "/cmd/grapnel"

// forbiddenInProduct maps an import prefix to the reason why ./cmd/grapnel must not be linked with it. testify and
// testing are missing on purpose: the Temporal SDK links both (its internal package holds the workflow test suite),
// so TestProductUsesNoTestHelpers checks which packages import them instead.
func forbiddenInProduct() map[string]string {
	const (
		oneRetryEngine = "Temporal and the schedule in PostgreSQL are the one retry engine"
		oneStore       = "PostgreSQL is the truth and Temporal the clock; there is no third store"
		visibleSQL     = "SQL stays visible: no ORM, no builder, no generator"
		slogOnly       = "log/slog is the logger"
		testOnly       = "it belongs in _test.go files"
	)

	return map[string]string{
		"go.temporal.io/server":                      "it triples the product's packages; a requirement of cmd/dev only",
		"go.temporal.io/sdk/testsuite":               testOnly,
		"github.com/temporalio/ui-server":            "the Web UI is served by cmd/dev or by its own container",
		"github.com/temporalio/cli":                  "it embeds the Temporal server",
		"github.com/testcontainers":                  "tests use a local PostgreSQL through internal/postgres, no Docker",
		"github.com/docker":                          "the product starts no containers",
		"github.com/fergusstrange/embedded-postgres": "it downloads a PostgreSQL; for internal/postgres only",
		modulePath + "/internal/pgtest":              "it starts a PostgreSQL; for tests and cmd/dev only",
		modulePath + "/internal/archtest":            testOnly,
		modulePath + "/internal/longtest":            testOnly,
		modulePath + "/storage/pgtemplate":           testOnly,
		"go.uber.org/goleak":                         testOnly,
		"pgregory.net/rapid":                         testOnly,
		"gorm.io":                                    visibleSQL,
		"github.com/sqlc-dev":                        visibleSQL,
		"github.com/Masterminds/squirrel":            visibleSQL,
		"github.com/lib/pq":                          "pgx is the one PostgreSQL driver",
		"github.com/mattn/go-sqlite3":                oneStore,
		"modernc.org/sqlite":                         oneStore,
		"github.com/redis":                           oneStore,
		"github.com/spf13/viper":                     "one kong struct is flags, environment, defaults and help",
		"github.com/spf13/cobra":                     "kong parses the command line",
		"github.com/danielgtaylor/huma/v2/humacli":   "it swallows bad environment values; use kong",
		"github.com/sony/gobreaker":                  oneRetryEngine,
		"github.com/failsafe-go":                     oneRetryEngine,
		"github.com/hashicorp/go-retryablehttp":      "an attempt is one request; retries belong to the schedule",
		"github.com/sirupsen/logrus":                 slogOnly,
		"go.uber.org/zap":                            slogOnly,
	}
}

// productPackages returns what the binary is linked with, as reachable does, and its own package.
func productPackages(t *testing.T) map[string]string {
	t.Helper()

	linked := reachable(allPackages(t), product)
	require.NotEmpty(t, linked)

	linked[product] = product

	return linked
}

func TestProductStaysLean(t *testing.T) {
	t.Parallel()

	forbidden := forbiddenInProduct()

	for path, through := range productPackages(t) {
		for prefix, why := range forbidden {
			if under(path, prefix) {
				t.Errorf("cmd/grapnel is linked with %s (through %s): %s", path, through, why)
			}
		}
	}
}

func TestProductUsesNoTestHelpers(t *testing.T) {
	t.Parallel()

	all := allPackages(t)

	for path := range productPackages(t) {
		if !under(path, modulePath) {
			continue
		}

		for _, imp := range all[path].Imports {
			if under(imp, "testing") || under(imp, "github.com/stretchr/testify") {
				t.Errorf("%s imports %s outside its tests: return an error instead", path, imp)
			}
		}
	}
}
