// Package deploytest holds tests of the packaging, and no code: the Compose file, the Dockerfile and the Kubernetes
// manifests against their schemas and against the flags and environment variables of the binary.
package deploytest
