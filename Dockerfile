# Builds Vestibule and puts it, alone, on a small base. Runs as nobody in particular.
#
#   docker build -t vestibule .
#   docker run -p 4180:4180 -v ./vestibule.yaml:/etc/vestibule/vestibule.yaml:ro vestibule

FROM rust:1-slim-bookworm AS build
# The image has Rust and a C compiler; jemalloc's build also wants make.
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin vestibule

FROM debian:bookworm-slim
# The authorities that providers and upstreams are verified against.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/vestibule /usr/local/bin/vestibule
# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 65532:65532
EXPOSE 4180
ENTRYPOINT ["/usr/local/bin/vestibule"]
CMD ["serve", "--config", "/etc/vestibule/vestibule.yaml"]
