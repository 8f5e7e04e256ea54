package archtest

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// Import prefixes that occur in several rules.
const (
	pgx            = "github.com/jackc"
	goose          = "github.com/pressly/goose"
	huma           = "github.com/danielgtaylor/huma"
	temporal       = "go.temporal.io"
	temporalServer = "go.temporal.io/server"
	googleUUID     = "github.com/google/uuid"
)

// direction is the import rule for the non-test files below one directory.
type direction struct {
	// ours are the allowed prefixes of the repository's own packages; the directory's own packages are always
	// allowed. nil allows all of the repository's packages that deny does not name.
	ours []string
	// deny maps a forbidden import prefix to its alternative. It applies to direct imports.
	deny map[string]string
	// denyDeps is deny for everything that is linked in, directly or indirectly.
	denyDeps map[string]string
	// stdOnly allows only the standard library and the repository's own packages.
	stdOnly bool
}

// directions are the import rules, by directory below the root.
func directions() map[string]direction {
	const (
		sqlIsStorage  = "only storage talks to PostgreSQL; declare a small interface next to its use"
		httpIsAPI     = "HTTP belongs to api"
		replay        = "workflow code must replay the same; make the value in an activity, or before the workflow starts"
		noIO          = "workflow code does no I/O; do it in an activity"
		leafTemporal  = "Temporal belongs to workflows, activities and worker; take plain values as arguments"
		noServer      = "the Temporal server is a requirement of cmd/dev only"
		leaf          = "this package is a leaf that others build on; turn the dependency round"
		apiContract   = "what api shares with workflows is in internal/contract"
		noEngine      = "what callers share with activities is in internal/contract"
		storeTemporal = "storage knows PostgreSQL only; return data and let the caller talk to Temporal"
	)

	const byAPI = "the commands for users of the API call it by the generated client, as they would"

	leafRule := direction{
		deny: map[string]string{
			pgx: sqlIsStorage, huma: httpIsAPI, temporal: leafTemporal,
			modulePath + "/storage": leaf, modulePath + "/api": leaf, modulePath + "/worker": leaf,
			modulePath + "/workflows": leaf, modulePath + "/activities": leaf,
		},
		denyDeps: map[string]string{
			pgx: sqlIsStorage, huma: httpIsAPI, temporal: leafTemporal,
			modulePath + "/storage": leaf, modulePath + "/api": leaf, modulePath + "/workflows": leaf,
		},
	}

	return map[string]direction{
		"api/": {
			ours: []string{"internal/"},
			deny: map[string]string{"database/sql": sqlIsStorage},
			denyDeps: map[string]string{
				temporal: apiContract, pgx: sqlIsStorage, goose: sqlIsStorage, modulePath + "/storage": sqlIsStorage, temporalServer: noServer,
			},
		},
		"workflows/": {
			ours: []string{"activities/", "internal/clip/", "internal/contract/", "internal/hook/"},
			deny: map[string]string{
				"net/http": noIO, "os": noIO, "database/sql": noIO, "math/rand": replay, "crypto/rand": replay,
				googleUUID: replay,
			},
			denyDeps: map[string]string{pgx: noIO, goose: noIO, huma: httpIsAPI, temporalServer: noServer},
		},
		"activities/": {
			ours: []string{
				"internal/contract/", "internal/delivery/", "internal/hook/", "internal/payload/", "internal/signing/",
				"internal/tracing/", "internal/wait/",
			},
			deny: map[string]string{"database/sql": sqlIsStorage},
			denyDeps: map[string]string{
				pgx: sqlIsStorage, goose: sqlIsStorage, huma: httpIsAPI, temporalServer: noServer,
				modulePath + "/storage": sqlIsStorage, modulePath + "/workflows": "workflows name activities, never the reverse",
			},
		},
		"storage/": {
			ours: []string{"internal/"},
			denyDeps: map[string]string{
				temporal: storeTemporal, huma: httpIsAPI, modulePath + "/api": leaf,
				modulePath + "/workflows": leaf, modulePath + "/activities": leaf,
			},
		},
		"internal/cli/": {
			ours: []string{"internal/hook/", "internal/diagnose/", "clients/go/", "verify/go/"},
			deny: map[string]string{"database/sql": byAPI},
			denyDeps: map[string]string{
				pgx: byAPI, goose: byAPI, huma: byAPI, temporal: byAPI, modulePath + "/storage": byAPI, modulePath + "/api": byAPI, modulePath + "/workflows": byAPI,
			},
		},
		"internal/delivery/": {
			ours: []string{"internal/contract/", "internal/hook/", "internal/errlog/", "internal/payload/", "internal/tracing/", "internal/turns/", "internal/wait/"},
			deny: map[string]string{"database/sql": sqlIsStorage, temporal: leafTemporal},
			denyDeps: map[string]string{
				pgx: sqlIsStorage, goose: sqlIsStorage, huma: httpIsAPI, temporal: leafTemporal,
				modulePath + "/storage": sqlIsStorage, modulePath + "/api": leaf,
			},
		},
		"internal/dispatch/": {
			deny: map[string]string{modulePath + "/activities": noEngine, modulePath + "/internal/delivery": noEngine},
		},
		"console/":            {ours: []string{}, stdOnly: true},
		"internal/hook/":      {ours: []string{}, stdOnly: true},
		"internal/contract/":  {ours: []string{"internal/hook/"}, stdOnly: true},
		"verify/go/":          {ours: []string{}, stdOnly: true},
		"internal/canonjson/": leafRule,
		"internal/signing/":   leafRule,
		"internal/payload/":   leafRule,
		"internal/egress/":    leafRule,
		"internal/explain/":   {ours: []string{"internal/hook/"}, stdOnly: true},
		"internal/diagnose/":  {ours: []string{"internal/hook/", "internal/signing/", "internal/canonjson/"}, stdOnly: true},
	}
}

// importers returns the packages that only some directories may import, with the reasons.
func importers() map[string]struct {
	only []string
	why  string
} {
	type rule = struct {
		only []string
		why  string
	}

	return map[string]rule{
		"internal/app/":      {[]string{"cmd/"}, "internal/app wires the packages together; move the shared part to a package of its own"},
		"internal/postgres/": {[]string{"internal/pgtest/"}, "it starts PostgreSQL's programs, for tests and cmd/dev; take a database URL"},
		"console/":           {[]string{"internal/app/"}, "the console is a client of the API; it is served, not used"},
		"cmd/":               {nil, "move the shared part to internal/"},
	}
}

func TestImporters(t *testing.T) {
	t.Parallel()

	rules := importers()

	for _, p := range allPackages(t) {
		if !under(p.ImportPath, modulePath) {
			continue
		}

		for _, imp := range p.Imports {
			if !under(imp, modulePath) {
				continue
			}

			imported := pkg{ImportPath: imp}.dir()
			for dir, rule := range rules {
				if !strings.HasPrefix(imported, dir) || strings.HasPrefix(p.dir(), dir) {
					continue
				}

				if !slices.ContainsFunc(rule.only, func(by string) bool { return strings.HasPrefix(p.dir(), by) }) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imp, rule.why)
				}
			}
		}
	}
}

func TestImportDirections(t *testing.T) {
	t.Parallel()

	rules := directions()

	all := allPackages(t)

	for _, path := range slices.Sorted(maps.Keys(all)) {
		p := all[path]
		if !under(path, modulePath) {
			continue
		}

		for dir, rule := range rules {
			if !strings.HasPrefix(p.dir(), dir) {
				continue
			}

			for _, imp := range p.Imports {
				checkImport(t, all, p, dir, rule, imp)
			}

			checkDeps(t, path, rule, reachable(all, path))
		}
	}
}

// checkDeps checks everything that the package is linked with, and reports one culprit for each forbidden prefix.
func checkDeps(t *testing.T, path string, rule direction, deps map[string]string) {
	t.Helper()

	for prefix, why := range rule.denyDeps {
		for _, dep := range slices.Sorted(maps.Keys(deps)) {
			if under(dep, prefix) {
				t.Errorf("%s is linked with %s (through %s): %s", path, dep, deps[dep], why)

				break
			}
		}
	}
}

// checkImport checks one direct import of p against the rule of the directory that contains p.
func checkImport(t *testing.T, all map[string]pkg, p pkg, dir string, rule direction, imp string) {
	t.Helper()

	for prefix, why := range rule.deny {
		if under(imp, prefix) {
			t.Errorf("%s imports %s: %s", p.ImportPath, imp, why)
		}
	}

	ours := under(imp, modulePath)
	if rule.stdOnly && !ours && !all[imp].Standard {
		t.Errorf("%s imports %s: %s may use the standard library only", p.ImportPath, imp, dir)
	}

	if !ours || rule.ours == nil {
		return
	}

	imported := pkg{ImportPath: imp}.dir()

	allowed := append([]string{dir}, rule.ours...)
	if !slices.ContainsFunc(allowed, func(prefix string) bool { return strings.HasPrefix(imported, prefix) }) {
		t.Errorf("%s imports %s: of ours, %s may import %v only", p.ImportPath, imp, dir, allowed)
	}
}

// reachable returns everything the package is linked with, each with the direct import that leads to it. It leaves
// out the dependencies of the standard library.
func reachable(all map[string]pkg, path string) map[string]string {
	found := map[string]string{}

	var visit func(from, via string)
	visit = func(from, via string) {
		for _, imp := range all[from].Imports {
			if _, seen := found[imp]; seen {
				continue
			}

			through := via
			if through == "" {
				through = imp
			}

			found[imp] = through
			if !all[imp].Standard {
				visit(imp, through)
			}
		}
	}
	visit(path, "")

	return found
}
