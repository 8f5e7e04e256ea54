# The product's image: one static binary, no shell, no package manager, not root.
# The binary is also what the health checks call (`/grapnel healthcheck`): distroless has no curl.

# 1.26.10, newer than what go.mod asks for: 1.26.9 and 1.26.10 mend what govulncheck finds in 1.26.8's standard library
# (.ci/vulnerabilities.txt has the list), and the standard library is linked into the binary.
FROM golang:1.26.10-bookworm AS build
WORKDIR /src
# local: the pinned image decides the Go version, never a download in the middle of a build.
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=local
COPY go.mod go.sum ./
# Modules of their own, which the product's CLI is built with.
COPY clients/go/go.mod clients/go/go.sum clients/go/
COPY verify/go/go.mod verify/go/
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# What `grapnel version` shows: --build-arg VERSION=1.2.3 --build-arg COMMIT=… --build-arg DATE=…
ARG VERSION COMMIT DATE
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -pgo=cmd/grapnel/release.pgo -ldflags="-s -w -X main.releaseVersion=$VERSION -X main.releaseCommit=$COMMIT -X main.releaseDate=$DATE" -o /out/grapnel ./cmd/grapnel

# static: CA certificates, time zones and a passwd file; nothing else is needed without cgo.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/grapnel /grapnel
# 65532:65532, as numbers so that Kubernetes' runAsNonRoot can check it without reading the image's passwd.
USER 65532:65532
# The API with /healthz and /readyz; the metrics, beside which a worker has its own.
EXPOSE 8080 9464
# What `grapnel` drains on.
STOPSIGNAL SIGTERM
# For api and serve. A worker is asked with `healthcheck --worker`, as docker-compose.yml does; Kubernetes has its probes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/grapnel", "healthcheck"]
ENTRYPOINT ["/grapnel"]
CMD ["serve"]
