# This image says a lot
# before it does anything.

FROM debian:bookworm-slim

# Tools
RUN apt-get update && \
    # a comment within
    apt-get install -y --no-install-recommends \
      jq \
      # another one
      less && \
    rm -rf /var/lib/apt/lists/*
