package deploytest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
