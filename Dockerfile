# rpm-runtime: one static binary in an empty image.
#
#   docker build -t rpm-runtime .
#
# In an image of your own:
#
#   FROM node:20-slim
#   COPY --from=rpm-runtime /rpm-runtime /usr/local/bin/rpm-runtime
#   ENTRYPOINT ["rpm-runtime"]
#   CMD ["node", "server.js"]
#
# Where no registry can be reached, scripts/image --local builds this same file with the toolchain of the machine:
# BUILDER is then an image that holds nothing, and the tools come in as read-only mounts.
ARG BUILDER=docker.io/library/rust:1.95.0-bookworm
ARG BASE=scratch

FROM ${BUILDER} AS build
WORKDIR /src
# The toolchain is what BUILDER brings; rust-toolchain.toml would ask for components that a build does not need.
COPY Cargo.toml Cargo.lock ./
# The manifest names them.
COPY benches ./benches
# The dependencies first, against an empty program: this layer stays as long as Cargo.lock does.
RUN mkdir -p src \
    && echo '//! Stands in for the library.' > src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --bin rpm-runtime \
        --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && rm -r src
COPY src ./src
# The new sources may bear an older date than the stand-ins.
ARG REVISION=unknown
RUN find src -name '*.rs' -exec touch {} + \
    && RPM_BUILD_REVISION="${REVISION}" RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --bin rpm-runtime \
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
# A binary that is not static, or not for this machine, ends the build here.
RUN ["/rpm-runtime", "--version"]
# Kubernetes has its own probes; this is for docker and podman.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/rpm-runtime", "--healthcheck"]
ENTRYPOINT ["/rpm-runtime"]
