FROM rust:1-slim AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/service /service

FROM debian:bookworm-slim
COPY --from=build /service /usr/local/bin/service
USER nobody
EXPOSE 8080
ENTRYPOINT ["service"]
