# rpm-runtime: one static binary in an empty image.
#
#   docker build -t rpm-runtime .
#
# To use it in your own image:
#
#   FROM node:20-slim
#   COPY --from=rpm-runtime /rpm-runtime /usr/local/bin/rpm-runtime
#   ENTRYPOINT ["rpm-runtime"]
#   CMD ["node", "server.js"]
#
# If no registry can be reached, scripts/image --local builds this file with the toolchain of the machine: BUILDER is
# then an empty image, and the tools are mounted read-only.
ARG BUILDER=docker.io/library/rust:1.95.0-bookworm
ARG BASE=scratch

FROM ${BUILDER} AS build
WORKDIR /src
# The toolchain is the one of BUILDER. rust-toolchain.toml is not copied: it lists components that a build does not
# need.
COPY Cargo.toml Cargo.lock ./
# Cargo.toml names the benchmarks, so their files must exist.
COPY benches ./benches
# Builds the dependencies first, with an empty program: this layer stays cached until Cargo.lock changes.
RUN mkdir -p src \
    && echo '//! Stands in for the library.' > src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && RUSTFLAGS='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs' cargo build --release --locked --bin rpm-runtime \
        --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && rm -r src
COPY src ./src
# `touch`: the copied sources may be older than the empty program, and cargo would not rebuild them.
ARG REVISION=unknown
RUN find src -name '*.rs' -exec touch {} + \
    && RPM_BUILD_REVISION="${REVISION}" RUSTFLAGS='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs' cargo build --release --locked --bin rpm-runtime \
        --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && cp "target/$(rustc -vV | sed -n 's/^host: //p')/release/rpm-runtime" /rpm-runtime

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rpm-runtime" \
      org.opencontainers.image.description="PID 1 for containers: N workers of any unmodified program on one shared port" \
      org.opencontainers.image.source="https://github.com/rpm-runtime/rpm-runtime" \
      org.opencontainers.image.documentation="https://github.com/rpm-runtime/rpm-runtime#readme" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rpm-runtime /rpm-runtime
USER 65532:65532
# The build fails here if the binary is not static or is built for another architecture.
RUN ["/rpm-runtime", "--version"]
# For docker and podman; Kubernetes uses its own probes.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/rpm-runtime", "--healthcheck"]
ENTRYPOINT ["/rpm-runtime"]
