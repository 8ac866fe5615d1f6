# Vestibule alone: no shell, no package manager, nothing that it does not need to run.
#
#   docker build -t vestibule:0.1.0 .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -p 4180:4180 \
#     -v ./vestibule.yaml:/etc/vestibule/vestibule.yaml:ro -v ./secrets:/run/secrets:ro \
#     -v vestibule:/var/lib/vestibule vestibule:0.1.0
#
# The steps are the scripts of deploy/image. Without an engine, `deploy/image/try` takes the same.

FROM rust:1-slim-bookworm AS build
# The image has Rust and a C compiler; jemalloc's build also wants make.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# What .dockerignore lets in.
COPY . .
# What was compiled before stays in caches of the engine, and so does not depend on any layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    deploy/image/build /vestibule
RUN deploy/image/check /vestibule
RUN deploy/image/stage /vestibule /image

# Nothing below it: what the binary is linked with is staged from the very system that linked it, and
# what the image holds is in one list, which the tests read. docs/decisions/0009 says why not another.
FROM scratch
COPY --from=build /image/ /
LABEL org.opencontainers.image.title="Vestibule" \
    org.opencontainers.image.description="ProConnect sign-in sidecar in front of an unmodified app" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="MIT"
# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 65532:65532
EXPOSE 4180
# Kubernetes does not look at this: its probes are in deploy/kubernetes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/usr/local/bin/vestibule", "health", "--config", "/etc/vestibule/vestibule.yaml"]
ENTRYPOINT ["/usr/local/bin/vestibule"]
CMD ["serve", "--config", "/etc/vestibule/vestibule.yaml"]
