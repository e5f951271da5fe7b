FROM debian:bookworm-slim
ARG ARCH="amd64"
ARG OS="linux"
LABEL maintainer="nobody <nobody@example.invalid>"
COPY .build/${OS}-${ARCH}/server /bin/server
COPY config.yml /etc/server/config.yml
WORKDIR /server
RUN chown -R nobody:nogroup /etc/server /server
USER nobody
EXPOSE 9090
VOLUME [ "/server" ]
ENTRYPOINT [ "/bin/server" ]
CMD [ "--config.file=/etc/server/config.yml", \
      "--storage.path=/server" ]
