package deploytest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

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
