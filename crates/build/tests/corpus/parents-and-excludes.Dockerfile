FROM debian:bookworm-slim
COPY --parents src/./lib/*.c src/./include /build/
COPY --exclude=*.md --exclude=test . /app
