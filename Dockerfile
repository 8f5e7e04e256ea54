# The product's image: one static binary, no shell, no package manager, not root.
# The binary is also what Compose's health checks call (`/grapnel healthcheck`): distroless has no curl.

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
# local: the pinned image decides the Go version, never a download in the middle of a build.
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=local
COPY go.mod go.sum ./
# A module of its own, which the product's CLI is built with.
COPY openapi/clients/go/go.mod openapi/clients/go/go.sum openapi/clients/go/
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -ldflags='-s -w' -o /out/grapnel ./cmd/grapnel

# static: CA certificates, time zones and a passwd file; nothing else is needed without cgo.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/grapnel /grapnel
# 65532:65532, as numbers so that Kubernetes' runAsNonRoot can check it without reading the image's passwd.
USER 65532:65532
# The API, with /healthz and /readyz.
EXPOSE 8080
ENTRYPOINT ["/grapnel"]
CMD ["serve"]
