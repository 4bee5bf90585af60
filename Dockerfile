# rpm-runtime, and rpmctl beside it: static binaries in an empty image.
#
#   docker build -t rpm-runtime .
#
# To use it in your own image:
#
#   FROM node:20-slim
#   COPY --from=rpm-runtime /rpm-runtime /rpmctl /usr/local/bin/
#   ENTRYPOINT ["rpm-runtime"]
#   CMD ["node", "server.js"]
#
# For another architecture: docker build --platform linux/arm64. The compiler runs on the architecture of the machine and
# is told by TARGETARCH (amd64 or arm64) what to compile for; nothing is emulated. podman needs the arguments of
# scripts/image.
#
# If no registry can be reached, scripts/image --local builds this file with the toolchain of the machine: BUILDER is
# then an empty image, and the tools are mounted read-only.
ARG BUILDER=docker.io/library/rust:1.95.0-bookworm
ARG BASE=scratch

FROM --platform=${BUILDPLATFORM} ${BUILDER} AS build
WORKDIR /src
# What to compile for, by its Rust name, is in /target. For another architecture its linker and libraries are installed.
# Their versions are those of the Debian of BUILDER, and the list of packages is split at its spaces.
ARG TARGETARCH
# hadolint ignore=DL3008,SC2086
RUN case "${TARGETARCH:-$(uname -m)}" in \
        amd64 | x86_64) machine=x86_64 && debian="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;; \
        arm64 | aarch64) machine=aarch64 && debian="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;; \
        *) echo "TARGETARCH=${TARGETARCH}: amd64 or arm64" >&2; exit 1 ;; \
    esac \
    && target="${machine}-unknown-linux-gnu" \
    && echo "${target}" > /target \
    && if ! [ -d "$(rustc --print sysroot)/lib/rustlib/${target}" ]; then rustup target add "${target}"; fi \
    && if ! command -v "${machine}-linux-gnu-gcc"; then \
        apt-get update \
        && apt-get install -y --no-install-recommends ${debian} \
        && rm -rf /var/lib/apt/lists/*; \
    fi
# With an explicit target, the flags do not apply to build scripts and procedural macros. scripts/static has the same.
ENV RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# The toolchain is the one of BUILDER. rust-toolchain.toml is not copied: it lists components that a build does not
# need.
COPY Cargo.toml Cargo.lock ./
# Cargo.toml names the benchmarks, so their files must exist.
COPY benches ./benches
# Builds the dependencies first, with empty programs: this layer stays cached until Cargo.lock changes.
RUN mkdir -p src/rpmctl \
    && echo '//! Stands in for the library.' > src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs src/rpmctl/ \
    && cargo build --release --locked --bins --target "$(cat /target)"
# The licences of the packages that are linked ask for their text beside the binary.
COPY packaging ./packaging
RUN mkdir -p /out/licenses \
    && python3 packaging/notices.py "$(cat /target)" > /out/licenses/THIRD-PARTY \
    && rm -r src
COPY LICENSE LICENSE-APACHE LICENSE-MIT /out/licenses/
COPY src ./src
# `touch`: the copied sources may be older than the empty program, and cargo would not rebuild them.
ARG REVISION=unknown
RUN find src -name '*.rs' -exec touch {} + \
    && RPM_BUILD_REVISION="${REVISION}" cargo build --release --locked --bins --target "$(cat /target)" \
    && cp "target/$(cat /target)/release/rpm-runtime" "target/$(cat /target)/release/rpmctl" /out/
# The build fails here if a binary is not static or is of another architecture, and where it can run, if it does not.
RUN set -e; for name in rpm-runtime rpmctl; do \
        readelf -hldW "/out/${name}" > /headers; \
        if grep -q -e INTERP -e NEEDED /headers; then exit 1; fi; \
        case "$(cat /target)" in \
            x86_64-*) grep -q 'Machine:.*X86-64' /headers ;; \
            *) grep -q 'Machine:.*AArch64' /headers ;; \
        esac; \
        case "$(cat /target)" in "$(uname -m)"-*) "/out/${name}" --version ;; esac; \
    done

FROM ${BASE}
# `make image` gives both; the version is the one of Cargo.toml, which a test compares.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rpm-runtime" \
      org.opencontainers.image.description="PID 1 for containers: N workers of any unmodified program on one shared port" \
      org.opencontainers.image.source="https://github.com/rpm-runtime/rpm-runtime" \
      org.opencontainers.image.documentation="https://github.com/rpm-runtime/rpm-runtime#readme" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The programs, and their licences.
COPY --from=build /out/ /
USER 65532:65532
# For docker and podman; Kubernetes uses its own probes.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/rpm-runtime", "--healthcheck"]
ENTRYPOINT ["/rpm-runtime"]
