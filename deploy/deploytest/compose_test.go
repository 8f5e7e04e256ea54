package deploytest

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// composeFile has the parts of docker-compose.yml that the tests check.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]any            `yaml:"volumes"`
	Configs  map[string]map[string]any `yaml:"configs"`
}

type composeService struct {
	Image           string                       `yaml:"image"`
	Build           any                          `yaml:"build"`
	Command         []string                     `yaml:"command"`
	Restart         string                       `yaml:"restart"`
	Environment     map[string]string            `yaml:"environment"`
	DependsOn       map[string]composeDependency `yaml:"depends_on"`
	Healthcheck     composeHealthcheck           `yaml:"healthcheck"`
	Ports           []string                     `yaml:"ports"`
	Volumes         []string                     `yaml:"volumes"`
	Configs         []composeConfigUse           `yaml:"configs"`
	StopGracePeriod string                       `yaml:"stop_grace_period"`
	ReadOnly        bool                         `yaml:"read_only"`
	CapDrop         []string                     `yaml:"cap_drop"`
	Deploy          struct {
		Resources struct {
			Limits map[string]string `yaml:"limits"`
		} `yaml:"resources"`
	} `yaml:"deploy"`
}

type composeHealthcheck struct {
	Test    []string `yaml:"test"`
	Disable bool     `yaml:"disable"`
}

type composeDependency struct {
	Condition string `yaml:"condition"`
}

type composeConfigUse struct {
	Source string `yaml:"source"`
}

// oneShot reports whether the service runs once and ends.
func (s composeService) oneShot() bool { return s.Restart != "unless-stopped" }

func readCompose(t *testing.T) (composeFile, string) {
	t.Helper()

	src, err := os.ReadFile(filepath.Join(repoRoot(t), "docker-compose.yml"))
	require.NoError(t, err)

	var file composeFile
	require.NoError(t, yaml.Unmarshal(src, &file))

	return file, string(src)
}

// The file matches the schema of the Compose Specification, which refuses unknown members.
func TestComposeMeetsItsSchema(t *testing.T) {
	t.Parallel()

	_, src := readCompose(t)
	schema := compileSchema(t, "compose-spec.json", "")

	for change, wrong := range map[string]bool{"": false, "restart: unless-stopped": true, "healthcheck:": true, "condition: ": true} {
		text := src
		if change != "" {
			text = strings.Replace(src, change, "x"+change, 1)
			require.NotEqual(t, src, text)
		}

		var doc any

		require.NoError(t, yaml.Unmarshal([]byte(text), &doc))

		err := schema.Validate(asJSON(t, doc))
		if wrong {
			require.Errorf(t, err, "with x%s", change)
		} else {
			require.NoError(t, err)
		}
	}
}

func TestComposeServices(t *testing.T) {
	t.Parallel()

	file, _ := readCompose(t)

	for _, name := range []string{"postgres", "temporal", "temporal-ui", "migrate", "api", "worker"} {
		require.Contains(t, file.Services, name)
	}

	for name, svc := range file.Services {
		require.Truef(t, svc.Image != "" || svc.Build != nil, "%s has neither an image nor a build", name)

		if !svc.oneShot() {
			require.NotEmptyf(t, svc.Healthcheck.Test, "%s has no health check", name)
			require.NotEmptyf(t, svc.Deploy.Resources.Limits["memory"], "%s may take all of the machine's memory", name)
		}

		if svc.Build != nil {
			require.Truef(t, svc.ReadOnly && slices.Equal(svc.CapDrop, []string{"ALL"}), "%s may do more than it needs", name)
			require.Truef(t, len(svc.Healthcheck.Test) > 0 || svc.Healthcheck.Disable, "the image's health check is not for %s", name)
		}

		for dep, d := range svc.DependsOn {
			target, ok := file.Services[dep]
			require.Truef(t, ok, "%s depends on %s, which is no service", name, dep)

			switch d.Condition {
			case "service_healthy":
				require.NotEmptyf(t, target.Healthcheck.Test, "%s waits until %s is healthy, which has no health check", name, dep)
			case "service_completed_successfully":
				require.Truef(t, target.oneShot(), "%s waits for the end of %s, which is started again", name, dep)
			default:
				t.Errorf("%s depends on %s with the condition %q, which says nothing", name, dep, d.Condition)
			}
		}

		for _, port := range svc.Ports {
			require.Truef(t, strings.HasPrefix(port, "127.0.0.1:"), "%s publishes %s beyond this machine", name, port)
		}

		for _, volume := range svc.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			require.Containsf(t, file.Volumes, source, "%s mounts %s, which is not declared", name, source)
		}

		for _, use := range svc.Configs {
			require.Containsf(t, file.Configs, use.Source, "%s uses the config %s, which is not declared", name, use.Source)
		}
	}
}

func TestComposeImagesArePinned(t *testing.T) {
	t.Parallel()

	file, _ := readCompose(t)

	for name, svc := range file.Services {
		if svc.Image != "" {
			require.NoErrorf(t, pinned(svc.Image), "service %s", name)
		}
	}
}

func TestComposeStopsAfterTheLongestAttempt(t *testing.T) {
	t.Parallel()

	file, _ := readCompose(t)

	for _, name := range []string{"api", "worker"} {
		svc := file.Services[name]
		grace, err := time.ParseDuration(svc.StopGracePeriod)
		require.NoErrorf(t, err, "stop_grace_period of %s", name)
		requireTimeToStop(t, name, grace, svc.Environment["GRAPNEL_SHUTDOWN_TIMEOUT"])
	}
}

// requireTimeToStop checks that the container is killed only after the shutdown time-out, and that this is longer than an
// attempt.
func requireTimeToStop(t *testing.T, where string, grace time.Duration, shutdown string) {
	t.Helper()

	timeout, err := time.ParseDuration(shutdown)
	require.NoErrorf(t, err, "GRAPNEL_SHUTDOWN_TIMEOUT of %s", where)
	require.Greaterf(t, timeout, longestAttempt, "%s would end in the middle of an attempt", where)
	require.Greaterf(t, grace, timeout, "%s would be killed while it stops", where)
}

// Go's memory limit is set, and below the container's limit.
func TestComposeMemory(t *testing.T) {
	t.Parallel()

	file, _ := readCompose(t)

	for _, name := range []string{"api", "worker"} {
		svc := file.Services[name]
		requireMemory(t, name, svc.Environment["GOMEMLIMIT"], svc.Deploy.Resources.Limits["memory"])
	}
}

// requireMemory checks that GOMEMLIMIT is 80 to 95 % of the container's limit.
func requireMemory(t *testing.T, where, goes, limit string) {
	t.Helper()

	share := mebibytes(t, goes) / mebibytes(t, limit)
	require.Truef(t, 0.8 <= share && share <= 0.95, "%s: GOMEMLIMIT %s of %s", where, goes, limit)
}

func mebibytes(t *testing.T, s string) float64 {
	t.Helper()

	parts := regexp.MustCompile(`(?i)^(\d+)(m|mi|mib|g|gi|gib)$`).FindStringSubmatch(s)
	require.NotNilf(t, parts, "%q is no size", s)

	size := number(t, parts[1])
	if strings.ToLower(parts[2])[0] == 'g' {
		size *= 1024
	}

	return float64(size)
}

func number(t *testing.T, s string) int {
	t.Helper()

	n, err := strconv.Atoi(s)
	require.NoError(t, err)

	return n
}

// The file has no secret and no default for one, and .env.example has a line for each secret.
func TestComposeRequiresItsSecrets(t *testing.T) {
	t.Parallel()

	_, src := readCompose(t)

	example, err := os.ReadFile(filepath.Join(repoRoot(t), ".env.example"))
	require.NoError(t, err)

	given := regexp.MustCompile(`(?m)^([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(example), -1)
	require.Len(t, given, 3)

	for _, g := range given {
		require.Emptyf(t, g[2], "%s has a value in .env.example, which people would keep", g[1])

		uses := regexp.MustCompile(`\$\{`+g[1]+`([^}]*)\}`).FindAllStringSubmatch(src, -1)
		require.NotEmptyf(t, uses, "%s is not used", g[1])

		for _, use := range uses {
			require.Regexpf(t, `^:\?.+`, use[1], "%s must have no default: ${%s:?what to do}", g[1], g[1])
		}
	}

	for _, use := range regexp.MustCompile(`\$\{([A-Z_]+)`).FindAllStringSubmatch(src, -1) {
		require.Regexpf(t, `(?m)^`+use[1]+`=$`, string(example), ".env.example does not have %s", use[1])
	}

	for _, line := range regexp.MustCompile(`(?mi)^\s*[A-Z_]*(?:PASSWORD|_PWD|_KEY): *(.*)$`).FindAllStringSubmatch(src, -1) {
		require.Regexpf(t, `^\$\{`, line[1], "a secret in the file: %s", line[0])
	}
}

// PostgreSQL is durable: a 202 promises that the event is on the disk.
func TestComposePostgresIsDurable(t *testing.T) {
	t.Parallel()

	file, _ := readCompose(t)
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		require.Contains(t, file.Services["postgres"].Command, "-c"+setting+"=on")
	}
}

func keysOf(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
