package deploytest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// manifest has the parts of an object in deploy/kubernetes that the tests check.
type manifest struct {
	file       string
	raw        any
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Data       map[string]string `yaml:"data"`
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Selector       map[string]any `yaml:"selector"`
		PodSelector    matcher        `yaml:"podSelector"`
		Ports          []servicePort  `yaml:"ports"`
		ScaleTargetRef struct {
			Kind string `yaml:"kind"`
			Name string `yaml:"name"`
		} `yaml:"scaleTargetRef"`
		MinReplicas int `yaml:"minReplicas"`
		Template    struct {
			Metadata struct {
				Labels map[string]string `yaml:"labels"`
			} `yaml:"metadata"`
			Spec podSpec `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type matcher struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type servicePort struct {
	TargetPort string `yaml:"targetPort"`
}

type podSpec struct {
	Containers       []container `yaml:"containers"`
	Grace            int         `yaml:"terminationGracePeriodSeconds"`
	AutomountToken   *bool       `yaml:"automountServiceAccountToken"`
	ServiceLinks     *bool       `yaml:"enableServiceLinks"`
	ServiceAccount   string      `yaml:"serviceAccountName"`
	SecurityContext  security    `yaml:"securityContext"`
	TopologyOfSpread []struct {
		LabelSelector matcher `yaml:"labelSelector"`
	} `yaml:"topologySpreadConstraints"`
}

type security struct {
	RunAsNonRoot             bool  `yaml:"runAsNonRoot"`
	RunAsUser                int   `yaml:"runAsUser"`
	AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
	ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
	SeccompProfile           struct {
		Type string `yaml:"type"`
	} `yaml:"seccompProfile"`
	Capabilities struct {
		Drop []string `yaml:"drop"`
	} `yaml:"capabilities"`
}

type container struct {
	owner   string
	Name    string   `yaml:"name"`
	Image   string   `yaml:"image"`
	Args    []string `yaml:"args"`
	EnvFrom []struct {
		ConfigMapRef struct {
			Name string `yaml:"name"`
		} `yaml:"configMapRef"`
	} `yaml:"envFrom"`
	Env []struct {
		Name      string `yaml:"name"`
		Value     string `yaml:"value"`
		ValueFrom struct {
			SecretKeyRef struct {
				Name string `yaml:"name"`
				Key  string `yaml:"key"`
			} `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	} `yaml:"env"`
	Ports []struct {
		Name string `yaml:"name"`
		Port int    `yaml:"containerPort"`
	} `yaml:"ports"`
	LivenessProbe  probe `yaml:"livenessProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
	Resources      struct {
		Requests map[string]string `yaml:"requests"`
		Limits   map[string]string `yaml:"limits"`
	} `yaml:"resources"`
	SecurityContext security `yaml:"securityContext"`
}

type probe struct {
	HTTPGet struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
}

// manifests returns all objects of the kustomization's resources, and the example of a secret.
func manifests(t *testing.T) []manifest {
	t.Helper()

	dir := filepath.Join(repoRoot(t), "deploy", "kubernetes")

	var kustomization struct {
		Resources []string `yaml:"resources"`
		Images    []struct {
			Name string `yaml:"name"`
		} `yaml:"images"`
	}

	src, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(src, &kustomization))
	require.Equal(t, "grapnel", kustomization.Images[0].Name)

	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	require.NoError(t, err)

	var list []manifest

	for _, path := range files {
		file := filepath.Base(path)
		if file == "kustomization.yaml" {
			continue
		}

		require.Equalf(t, file != "secret.example.yaml", slices.Contains(kustomization.Resources, file), "%s in kustomization.yaml", file)

		src, err := os.ReadFile(path)
		require.NoError(t, err)

		for dec := yaml.NewDecoder(bytes.NewReader(src)); ; {
			var node yaml.Node
			if err := dec.Decode(&node); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				require.NoError(t, err, file)
			}

			m := manifest{file: file}
			require.NoError(t, node.Decode(&m), file)
			require.NoError(t, node.Decode(&m.raw), file)
			list = append(list, m)
		}
	}

	return list
}

// named returns the manifest of a kind and name.
func named(t *testing.T, kind, name string) manifest {
	t.Helper()

	for _, m := range manifests(t) {
		if m.Kind == kind && m.Metadata.Name == name {
			return m
		}
	}

	require.Failf(t, "missing", "no %s %s in deploy/kubernetes", kind, name)

	return manifest{}
}

// containers returns the containers of all pods.
func containers(t *testing.T) []container {
	t.Helper()

	var list []container

	for _, m := range manifests(t) {
		for _, c := range m.Spec.Template.Spec.Containers {
			c.owner = m.Metadata.Name
			list = append(list, c)
		}
	}

	require.Len(t, list, 3)

	return list
}

// value returns the value of a variable, set directly or by the ConfigMap.
func (c container) value(t *testing.T, name string) string {
	t.Helper()

	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}

	for _, from := range c.EnvFrom {
		if v, ok := named(t, "ConfigMap", from.ConfigMapRef.Name).Data[name]; ok {
			return v
		}
	}

	return ""
}

// variables returns the names of all variables of a container's environment.
func (c container) variables(t *testing.T) []string {
	t.Helper()

	var names []string
	for _, e := range c.Env {
		names = append(names, e.Name)
	}

	for _, from := range c.EnvFrom {
		names = slices.AppendSeq(names, maps.Keys(named(t, "ConfigMap", from.ConfigMapRef.Name).Data))
	}

	return names
}

// Every object matches the type of its kind, and has no other members.
func TestKubernetesTypes(t *testing.T) {
	t.Parallel()

	places := map[string]string{
		"apps/v1 Deployment": "apps.v1.Deployment", "autoscaling/v2 HorizontalPodAutoscaler": "autoscaling.v2.HorizontalPodAutoscaler",
		"batch/v1 Job": "batch.v1.Job", "v1 ConfigMap": "core.v1.ConfigMap", "v1 Namespace": "core.v1.Namespace", "v1 Secret": "core.v1.Secret",
		"v1 Service": "core.v1.Service", "v1 ServiceAccount": "core.v1.ServiceAccount",
		"networking.k8s.io/v1 NetworkPolicy": "networking.v1.NetworkPolicy", "policy/v1 PodDisruptionBudget": "policy.v1.PodDisruptionBudget",
	}
	for _, m := range manifests(t) {
		place, ok := places[m.APIVersion+" "+m.Kind]
		require.Truef(t, ok, "%s: no type for %s %s", m.file, m.APIVersion, m.Kind)

		schema := compileSchema(t, "kubernetes.json", "#/definitions/io.k8s.api."+place)
		require.NoErrorf(t, schema.Validate(asJSON(t, m.raw)), "%s: %s %s", m.file, m.Kind, m.Metadata.Name)

		// The check can fail: a misspelt member.
		wrong := asJSON(t, m.raw).(map[string]any)
		wrong["metdata"] = wrong["metadata"]
		require.Error(t, schema.Validate(wrong))
	}
}

// Every selector matches pods.
func TestKubernetesSelectorsFindPods(t *testing.T) {
	t.Parallel()

	list := manifests(t)

	matches := func(want map[string]string) (found []string) {
		for _, m := range list {
			labels := m.Spec.Template.Metadata.Labels
			hit := len(labels) > 0

			for k, v := range want {
				hit = hit && labels[k] == v
			}

			if hit {
				found = append(found, m.Metadata.Name)
			}
		}

		return found
	}

	for _, m := range list {
		var want map[string]string

		switch m.Kind {
		case "Service":
			want = asStrings(t, m.Spec.Selector)
		case "Deployment", "PodDisruptionBudget":
			want = asStrings(t, m.Spec.Selector["matchLabels"])
		case "NetworkPolicy":
			if m.Metadata.Name == "grapnel" {
				require.ElementsMatch(t, []string{"grapnel-api", "grapnel-worker", "grapnel-migrate"}, matches(m.Spec.PodSelector.MatchLabels))
				continue
			}

			want = m.Spec.PodSelector.MatchLabels
		case "HorizontalPodAutoscaler":
			require.Equal(t, m.Metadata.Name, m.Spec.ScaleTargetRef.Name)
			named(t, m.Spec.ScaleTargetRef.Kind, m.Spec.ScaleTargetRef.Name)
			require.GreaterOrEqual(t, m.Spec.MinReplicas, 2, "one is none while it is restarted")

			continue
		default:
			continue
		}

		require.Equalf(t, []string{m.Metadata.Name}, matches(want), "%s %s selects", m.Kind, m.Metadata.Name)

		for _, spread := range m.Spec.Template.Spec.TopologyOfSpread {
			require.Equal(t, want, spread.LabelSelector.MatchLabels)
		}
	}

	// Every Deployment has a disruption budget and an autoscaler.
	for _, name := range []string{"grapnel-api", "grapnel-worker"} {
		named(t, "PodDisruptionBudget", name)
		named(t, "HorizontalPodAutoscaler", name)
	}
}

func asStrings(t *testing.T, m any) map[string]string {
	t.Helper()

	out := map[string]string{}
	for k, v := range m.(map[string]any) {
		out[k] = v.(string)
	}

	return out
}

// Pods meet the restricted pod security standard, and their file system is read-only.
func TestKubernetesPodsMayDoNothing(t *testing.T) {
	t.Parallel()

	user, _, _ := strings.Cut(readDockerfile(t).instructions["USER"][0], ":")

	for _, m := range manifests(t) {
		pod := m.Spec.Template.Spec
		for _, c := range pod.Containers {
			require.True(t, pod.SecurityContext.RunAsNonRoot, m.Metadata.Name)
			require.Equal(t, number(t, user), pod.SecurityContext.RunAsUser, "the image's user")
			require.Equal(t, "RuntimeDefault", pod.SecurityContext.SeccompProfile.Type)
			require.NotNil(t, pod.AutomountToken)
			require.False(t, *pod.AutomountToken)
			require.NotNil(t, pod.ServiceLinks)
			require.False(t, *pod.ServiceLinks, "Kubernetes would set variables that begin with GRAPNEL_")
			named(t, "ServiceAccount", pod.ServiceAccount)
			require.NotNil(t, c.SecurityContext.AllowPrivilegeEscalation)
			require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
			require.True(t, c.SecurityContext.ReadOnlyRootFilesystem)
			require.Equal(t, []string{"ALL"}, c.SecurityContext.Capabilities.Drop)
			require.NoError(t, pinned(c.Image))
			require.NotEmpty(t, c.Resources.Limits["memory"])
			require.NotEmpty(t, c.Resources.Requests["cpu"], "the autoscaler's percentages are of it")
		}
	}
}

// Pods have time to stop, and their probes use existing paths and ports (api/health.go,
// internal/app/opsserver.go).
func TestKubernetesStopsAndProbes(t *testing.T) {
	t.Parallel()

	for name, want := range map[string]string{"api": "http", "worker": "metrics"} {
		m := named(t, "Deployment", "grapnel-"+name)
		pod := m.Spec.Template.Spec
		c := pod.Containers[0]

		requireTimeToStop(t, m.Metadata.Name, time.Duration(pod.Grace)*time.Second, c.value(t, "GRAPNEL_SHUTDOWN_TIMEOUT"))
		requireMemory(t, m.Metadata.Name, c.value(t, "GOMEMLIMIT"), c.Resources.Limits["memory"])
		require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path)
		require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
		require.Equal(t, want, c.LivenessProbe.HTTPGet.Port)
		require.Equal(t, want, c.ReadinessProbe.HTTPGet.Port)

		variables := map[string]string{"http": "GRAPNEL_API_ADDR", "metrics": "GRAPNEL_METRICS_ADDR"}

		var ports []string

		for _, p := range c.Ports {
			ports = append(ports, p.Name)
			addr := c.value(t, variables[p.Name])
			require.Truef(t, strings.HasPrefix(addr, ":"), "%s: the kubelet asks the pod's address, not %s", m.Metadata.Name, addr)
			require.Equal(t, p.Port, number(t, addr[1:]))
		}

		require.Contains(t, ports, want)
	}

	for _, p := range named(t, "Service", "grapnel-api").Spec.Ports {
		require.Equal(t, "http", p.TargetPort)
	}
}

// Secrets come from the Secret, whose example has all names and no values. The ConfigMap has none.
func TestKubernetesSecrets(t *testing.T) {
	t.Parallel()

	example := named(t, "Secret", "grapnel").StringData
	secrets := map[string]bool{"DATABASE_URL": true, "GRAPNEL_ENCRYPTION_KEY": true, "GRAPNEL_ADMIN_KEY": true}

	used := map[string]bool{}

	for _, c := range containers(t) {
		for _, e := range c.Env {
			if !secrets[e.Name] {
				require.NotEmpty(t, e.Value, e.Name)
				continue
			}

			require.Emptyf(t, e.Value, "%s of %s", e.Name, c.owner)
			require.Equal(t, "grapnel", e.ValueFrom.SecretKeyRef.Name)
			require.Contains(t, example, e.ValueFrom.SecretKeyRef.Key)
			used[e.ValueFrom.SecretKeyRef.Key] = true
		}
	}

	for key, value := range example {
		require.Truef(t, used[key], "no container uses %s of the secret", key)
		require.Truef(t, value == "" || strings.Contains(value, ":PASSWORD@"), "%s has a value that people would keep", key)
	}

	for name := range named(t, "ConfigMap", "grapnel").Data {
		require.False(t, secrets[name], name)
	}
}

// If kubectl is installed, it builds the kustomization. That needs no cluster.
func TestKubernetesKustomization(t *testing.T) {
	t.Parallel()

	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl; the other tests look at the same files")
	}

	out, err := exec.CommandContext(t.Context(), "kubectl", "kustomize", filepath.Join(repoRoot(t), "deploy", "kubernetes")).CombinedOutput()
	require.NoErrorf(t, err, "%s", out)
	// Every object except the namespace itself and the example of a secret.
	require.Equal(t, len(manifests(t))-2, strings.Count(string(out), "\n  namespace: grapnel\n"))
}
