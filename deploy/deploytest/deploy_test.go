package deploytest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"grapnel/internal/longtest"
)

// longestAttempt is the longest timeout of a request (30 s) plus the activity's time to record the outcome (15 s): a
// container that is killed sooner loses the result of a request that was already sent.
const longestAttempt = 45 * time.Second

// ofOthers matches variables that others read: Go's runtime, pgx, Temporal's client, the tests.
var ofOthers = regexp.MustCompile(`^(GRAPNEL_IMAGE|GRAPNEL_TEST_LONG|GOMEMLIMIT|GOGC|PGPASSWORD|TEMPORAL_(ADDRESS|NAMESPACE|API_KEY|TLS_[A-Z_]+))$`)

// ofClients matches variables of the commands that call the API, such as listen.
var ofClients = regexp.MustCompile(`^GRAPNEL_(URL|KEY)$`)

// compileSchema compiles the schema of a file in testdata, or the part of it that ref ("#/…") points to.
func compileSchema(t *testing.T, file, ref string) *jsonschema.Schema {
	t.Helper()

	src, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(src))
	require.NoError(t, err)

	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource(file, doc))
	schema, err := c.Compile(file + ref)
	require.NoError(t, err)

	return schema
}

// asJSON converts a YAML document to JSON's types: integers are json.Number, keys are strings.
func asJSON(t *testing.T, doc any) any {
	t.Helper()

	text, err := json.Marshal(doc)
	require.NoError(t, err)
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)

	return out
}

// binary is the product, built for one test.
type binary struct {
	t    *testing.T
	path string
	help map[string]string
}

func buildBinary(t *testing.T) *binary {
	t.Helper()

	path := filepath.Join(t.TempDir(), "grapnel")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}

	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/grapnel")
	build.Dir = repoRoot(t)
	out, err := build.CombinedOutput()
	require.NoErrorf(t, err, "go build: %s", out)

	return &binary{t: t, path: path, help: map[string]string{}}
}

// requireCommand checks a command line and its environment: the command and its flags exist, and the command
// reads every variable. An unknown variable would be ignored silently.
func (b *binary) requireCommand(where string, args, environment []string) {
	b.t.Helper()
	require.NotEmptyf(b.t, args, "%s runs no command", where)

	text, ok := b.help[args[0]]
	if !ok {
		out, err := exec.CommandContext(b.t.Context(), b.path, args[0], "--help").CombinedOutput()
		require.NoErrorf(b.t, err, "%s runs grapnel %s\n%s", where, args[0], out)

		text = string(out)
		b.help[args[0]] = text
	}

	for _, arg := range args[1:] {
		flag, _, _ := strings.Cut(arg, "=")
		require.Regexpf(b.t, `(^|\s|\[no-\])`+regexp.QuoteMeta(flag)+`\b`, text, "%s: grapnel %s has no flag %s", where, args[0], flag)
	}

	for _, name := range environment {
		if !ofOthers.MatchString(name) {
			require.Regexpf(b.t, `\$`+name+`\b`, text, "%s sets %s, which grapnel %s does not read", where, name, args[0])
		}
	}
}

// The binary has every flag and variable that the packaging sets and the guides name.
func TestSettingsExist(t *testing.T) {
	t.Parallel()
	longtest.Only(t)

	b := buildBinary(t)

	compose, _ := readCompose(t)
	for name, svc := range compose.Services {
		if svc.Build == nil {
			continue
		}

		where := "docker-compose.yml: " + name
		b.requireCommand(where, svc.Command, keysOf(svc.Environment))

		if len(svc.Healthcheck.Test) > 0 {
			require.Equal(t, []string{"CMD", "/grapnel"}, svc.Healthcheck.Test[:2], where)
			b.requireCommand(where+": healthcheck", svc.Healthcheck.Test[2:], nil)
		}
	}

	for _, c := range containers(t) {
		b.requireCommand("deploy/kubernetes: "+c.owner, c.Args, c.variables(t))
	}

	for _, line := range readDockerfile(t).commands {
		b.requireCommand("Dockerfile", line, nil)
	}

	// The settings in the guides.
	for _, path := range append(documents(t), filepath.Join(repoRoot(t), ".env.example")) {
		if filepath.Base(path) == "cli.md" {
			continue // generated from the flags of all commands
		}

		src, err := os.ReadFile(path)
		require.NoError(t, err)
		names := regexp.MustCompile(`\bGRAPNEL_[A-Z_]*[A-Z]\b`).FindAllString(string(src), -1)
		servers := slices.DeleteFunc(slices.Clone(names), ofClients.MatchString)
		b.requireCommand(filepath.Base(path), []string{"serve"}, servers)
		b.requireCommand(filepath.Base(path), []string{"listen"}, slices.DeleteFunc(names, func(name string) bool { return !ofClients.MatchString(name) }))
	}
}

// dockerfile has the parts of the Dockerfile that the tests check.
type dockerfile struct {
	// stages are the base images of the stages; instructions are those of the last stage, by name.
	stages       []string
	instructions map[string][]string
	// build is the first stage, and commands are the product's command lines.
	build    string
	commands [][]string
}

func readDockerfile(t *testing.T) dockerfile {
	t.Helper()

	src, err := os.ReadFile(filepath.Join(repoRoot(t), "Dockerfile"))
	require.NoError(t, err)

	var d dockerfile

	text := strings.ReplaceAll(string(src), "\\\n", " ")
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}

		if name == "FROM" {
			d.stages, d.instructions = append(d.stages, strings.Fields(rest)[0]), map[string][]string{}
		}

		if len(d.stages) == 1 {
			d.build += line
		}

		require.NotNilf(t, d.instructions, "%s comes before FROM", name)
		d.instructions[name] = append(d.instructions[name], strings.TrimSpace(rest))
	}

	require.Len(t, d.stages, 2, "one stage builds, one runs")

	list := regexp.MustCompile(`\[.*\]$`)
	for _, name := range []string{"CMD", "HEALTHCHECK"} {
		for _, rest := range d.instructions[name] {
			var args []string

			require.NoErrorf(t, yaml.Unmarshal([]byte(list.FindString(rest)), &args), "%s %s", name, rest)
			require.NotEmptyf(t, args, "%s has to be a list: the image has no shell", name)

			if args[0] == "/grapnel" {
				args = args[1:]
			}

			d.commands = append(d.commands, args)
		}
	}

	return d
}

func TestDockerfile(t *testing.T) {
	t.Parallel()

	d := readDockerfile(t)
	for _, image := range d.stages {
		require.NoError(t, pinned(image))
	}

	mod, err := os.ReadFile(filepath.Join(repoRoot(t), "go.mod"))
	require.NoError(t, err)

	// The build image must be new enough for go.mod, because GOTOOLCHAIN=local refuses to download a newer one, and new
	// enough to have fixes for the vulnerabilities that .ci/vulnerabilities.txt accepts in CI's Go.
	wants := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))
	require.NotNil(t, wants)
	require.Regexp(t, `^golang:`+regexp.QuoteMeta(wants[1])+`\.`, d.stages[0])

	patch := regexp.MustCompile(`^golang:\d+\.\d+\.(\d+)`).FindStringSubmatch(d.stages[0])
	require.NotNil(t, patch)

	accepted, err := os.ReadFile(filepath.Join(repoRoot(t), ".ci", "vulnerabilities.txt"))
	require.NoError(t, err)

	for _, mends := range regexp.MustCompile(`Go `+regexp.QuoteMeta(wants[1])+`\.(\d+) mends it`).FindAllStringSubmatch(string(accepted), -1) {
		require.GreaterOrEqualf(t, number(t, patch[1]), number(t, mends[1]), "CI passes over what Go %s.%s mends: the image must have it", wants[1], mends[1])
	}

	require.Contains(t, d.build, "CGO_ENABLED=0", "the last stage has no C library")
	require.Contains(t, d.build, "-trimpath")
	require.Regexp(t, `^gcr\.io/distroless/static-debian12:nonroot$`, d.stages[1])
	// The user is a number, because Kubernetes cannot check whether a name is root's.
	require.Len(t, d.instructions["USER"], 1)
	require.Regexp(t, `^[1-9][0-9]*:[1-9][0-9]*$`, d.instructions["USER"][0])
	require.Equal(t, []string{`["/grapnel"]`}, d.instructions["ENTRYPOINT"])
	require.Equal(t, []string{"SIGTERM"}, d.instructions["STOPSIGNAL"])
	require.Len(t, d.instructions["HEALTHCHECK"], 1)
	require.NotContains(t, d.instructions, "RUN", "there is nothing to run it with")
}

// pinned returns an error unless the image has a digest, or a tag that does not move to new major versions.
func pinned(image string) error {
	if strings.Contains(image, "@sha256:") {
		return nil
	}

	name := image[strings.LastIndex(image, "/")+1:]

	_, tag, ok := strings.Cut(name, ":")
	if !ok || tag == "" || strings.HasPrefix(tag, "latest") || strings.Contains(tag, "$") {
		return errNotPinned(image)
	}

	return nil
}

type errNotPinned string

func (e errNotPinned) Error() string {
	return "image " + string(e) + " is not pinned: give it a tag that stays"
}
