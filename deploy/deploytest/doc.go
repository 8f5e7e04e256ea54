// Package deploytest has only tests of the packaging. They check the Compose file, the Dockerfile and the Kubernetes
// manifests against their schemas and against the flags and environment variables of the binary.
package deploytest
