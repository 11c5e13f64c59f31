# syntax=docker/dockerfile:1
# All programs of the platform in one image; the first argument is the one to run:
#   docker build --tag ferrocart .
#   docker run ferrocart ferrocart-order serve
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /src
COPY . .
# The compiler's work is kept between builds of the image, so a change costs what it costs outside. The caches are
# no part of the layer: what is needed of them is copied out in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    set -eu; \
    programs="gateway catalog search cart inventory order payment notification psp-sandbox sample-catalog"; \
    set --; \
    for name in $programs cli; do set -- "$@" --package "ferrocart-$name"; done; \
    cargo build --locked --release --bins "$@"; \
    mkdir /out; \
    for name in $programs; do \
        install -m 755 "target/release/ferrocart-$name" /out/; \
        strip "/out/ferrocart-$name"; \
    done; \
    install -m 755 target/release/ferrocart /out/; \
    strip /out/ferrocart

FROM debian:bookworm-slim
# Certificates for the payment provider and the mail server; curl for the health checks of compose.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 ferrocart \
    && useradd --system --uid 10001 --gid ferrocart --home-dir /nonexistent --shell /usr/sbin/nologin ferrocart \
    && install --directory --owner ferrocart --group ferrocart --mode 0700 \
        /var/lib/ferrocart/search-index /var/lib/ferrocart/psp-sandbox
COPY --from=build /out/ /usr/local/bin/
# Each program finds its libraries, or there is no image.
RUN set -eu; for program in /usr/local/bin/ferrocart*; do "$program" --version; done
USER 10001:10001
# Nothing is written but below /var/lib/ferrocart, by search and the sandbox: the root can be read-only.
ENV HOST=0.0.0.0
# The services end their requests and then themselves on SIGTERM.
STOPSIGNAL SIGTERM
CMD ["ferrocart-gateway", "serve"]
