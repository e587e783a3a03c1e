# The host with all of its plugins: `docker build -t chassis .`
# It runs as an ordinary user on a read-only file system; only /data (the journal, the embedded stores, copies of loaded plugins) is written.

FROM rust:1.95-bookworm AS chef
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /src

# What is depended on, apart from the code: a changed line does not build the crates of others again.
FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
ENV CARGO_INCREMENTAL=0
COPY --from=plan /src/recipe.json .
RUN cargo chef cook --release --locked --recipe-path recipe.json
COPY . .
RUN cargo xtask build --release $(ls plugins) \
    && cargo build --release --locked --package chassis \
    && mkdir -p /out/app /out/etc/ssl/certs /data && mkdir -m 1777 /out/tmp \
    && cp -r target/release/chassis target/release/plugins config flows api_responses /out/app/ \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
    && ldd target/release/chassis target/release/plugins/*.so | grep -o '/lib[^ ]*[.]so[.][0-9]*' | sort -u | xargs cp --parents -Lt /out

# Nothing but the host, its plugins, the four libraries that they are linked to, and certificates: no shell, no package manager.
FROM scratch
COPY --from=build /out /
# A new named volume takes the owner of what it covers.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /app
USER 65532:65532
ENV CHASSIS_DATA=/data \
    CHASSIS__GENERATIONS_DIR=/data/generations \
    CHASSIS__EDGE__LISTEN=0.0.0.0:7700 \
    CHASSIS_PROFILE=embedded
VOLUME /data
EXPOSE 7700
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["/app/chassis", "health", "--ready"]
ENTRYPOINT ["/app/chassis"]
CMD ["run"]
