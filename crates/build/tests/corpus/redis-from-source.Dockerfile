FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential dpkg-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources \
    && apt-get update && apt-get source --download-only redis && tar -xf redis_*.orig.tar.gz --strip-components=1
RUN make -j"$(nproc)" MALLOC=libc && make PREFIX=/opt/redis install

FROM debian:bookworm-slim
RUN groupadd -r redis && useradd -r -g redis redis && mkdir /data && chown redis:redis /data
COPY --from=build /opt/redis/bin/ /usr/local/bin/
VOLUME /data
WORKDIR /data
USER redis
EXPOSE 6379
HEALTHCHECK CMD redis-cli ping
CMD ["redis-server", "--protected-mode", "no"]
