package archtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// longestAttempt is the longest request timeout of an endpoint (30 s) and what the activity adds to record the outcome
// (15 s): a container that is stopped sooner loses the result of a request that was already sent.
const longestAttempt = 45 * time.Second

// composeFile is what the tests need of docker-compose.yml.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]any            `yaml:"volumes"`
	Configs  map[string]map[string]any `yaml:"configs"`
}

type composeService struct {
	Image           string                       `yaml:"image"`
	Build           any                          `yaml:"build"`
	Environment     map[string]string            `yaml:"environment"`
	DependsOn       map[string]composeDependency `yaml:"depends_on"`
	Healthcheck     map[string]any               `yaml:"healthcheck"`
	Ports           []string                     `yaml:"ports"`
	Volumes         []string                     `yaml:"volumes"`
	Configs         []composeConfigUse           `yaml:"configs"`
	StopGracePeriod string                       `yaml:"stop_grace_period"`
}

type composeDependency struct {
	Condition string `yaml:"condition"`
}

type composeConfigUse struct {
	Source string `yaml:"source"`
}

func readCompose(t *testing.T) (composeFile, string) {
	t.Helper()

	src, err := os.ReadFile(filepath.Join(repoRoot(t), "docker-compose.yml"))
	require.NoError(t, err)

	var file composeFile
	require.NoError(t, yaml.Unmarshal(src, &file))

	return file, string(src)
}

func TestComposeServices(t *testing.T) {
	t.Parallel()

	file, _ := readCompose(t)

	for _, name := range []string{"postgres", "temporal", "temporal-ui", "migrate", "api", "worker"} {
		require.Contains(t, file.Services, name)
	}

	for name, svc := range file.Services {
		require.Truef(t, svc.Image != "" || svc.Build != nil, "%s has neither an image nor a build", name)

		for dep, d := range svc.DependsOn {
			target, ok := file.Services[dep]
			require.Truef(t, ok, "%s depends on %s, which is no service", name, dep)

			switch d.Condition {
			case "service_healthy":
				require.NotEmptyf(t, target.Healthcheck, "%s waits until %s is healthy, which has no health check", name, dep)
			case "service_started", "service_completed_successfully":
			default:
				t.Errorf("%s depends on %s with the unknown condition %q", name, dep, d.Condition)
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
		grace, err := time.ParseDuration(file.Services[name].StopGracePeriod)
		require.NoErrorf(t, err, "stop_grace_period of %s", name)
		require.Greaterf(t, grace, longestAttempt, "%s would be killed in the middle of an attempt", name)
	}
}

func TestComposeRequiresItsSecrets(t *testing.T) {
	t.Parallel()

	_, src := readCompose(t)

	for _, name := range []string{"GRAPNEL_ENCRYPTION_KEY", "GRAPNEL_ADMIN_KEY", "POSTGRES_PASSWORD"} {
		uses := regexp.MustCompile(`\$\{`+name+`([^}]*)\}`).FindAllStringSubmatch(src, -1)
		require.NotEmptyf(t, uses, "%s is not used", name)

		for _, use := range uses {
			require.Regexpf(t, `^:\?.+`, use[1], "%s must have no default: ${%s:?what to do}", name, name)
		}
	}
}

// TestComposeVariablesExist builds the binary and asks it: a variable that no flag reads would be ignored in silence.
func TestComposeVariablesExist(t *testing.T) {
	t.Parallel()

	_, src := readCompose(t)

	named := regexp.MustCompile(`\bGRAPNEL_[A-Z0-9_]+\b`).FindAllString(src, -1)
	slices.Sort(named)
	named = slices.Compact(named)
	require.NotEmpty(t, named)

	bin := filepath.Join(t.TempDir(), "grapnel")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}

	runGo(t, repoRoot(t), "build", "-o", bin, "./cmd/grapnel")

	help, err := exec.CommandContext(t.Context(), bin, "serve", "--help").CombinedOutput()
	require.NoErrorf(t, err, "grapnel serve --help\n%s", help)

	for _, name := range named {
		require.Regexpf(t, `\b`+name+`\b`, string(help), "docker-compose.yml sets %s, which no flag of serve reads", name)
	}
}

func TestDockerfile(t *testing.T) {
	t.Parallel()

	root := repoRoot(t)

	src, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)

	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)

	var stages, users []string

	for line := range strings.Lines(string(src)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}

		switch fields[0] {
		case "FROM":
			stages, users = append(stages, fields[1]), nil
		case "USER":
			users = append(users, fields[1])
		}
	}

	require.Len(t, stages, 2, "one stage builds, one runs")

	for _, image := range stages {
		require.NoError(t, pinned(image))
	}

	require.NotEmpty(t, users, "the last stage names no user")
	require.NotRegexp(t, `^(0|root)(:|$)`, users[len(users)-1], "the product needs no root")

	// The build image must be new enough for go.mod, because GOTOOLCHAIN=local refuses to download a newer one.
	wants := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))
	require.NotNil(t, wants)
	require.Regexp(t, `^golang:`+regexp.QuoteMeta(wants[1])+`\.`, stages[0])
}

// pinned returns an error unless the image has a tag or a digest, and the tag is not one that moves to new majors.
func pinned(image string) error {
	if strings.Contains(image, "@sha256:") {
		return nil
	}

	name := image[strings.LastIndex(image, "/")+1:]

	_, tag, ok := strings.Cut(name, ":")
	if !ok || tag == "" || strings.HasPrefix(tag, "latest") || strings.Contains(tag, "$") {
		return fmt.Errorf("image %q is not pinned: give it a tag that stays", image)
	}

	return nil
}
