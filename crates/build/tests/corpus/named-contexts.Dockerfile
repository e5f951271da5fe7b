FROM debian:bookworm-slim
COPY --from=shared /etc/config /etc/config
RUN --mount=type=bind,from=shared,target=/shared ls /shared
