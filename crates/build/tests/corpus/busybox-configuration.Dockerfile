# expect /etc/marker: done
FROM busybox:test
LABEL org.opencontainers.image.title="everything" \
      org.opencontainers.image.vendor="none"
EXPOSE 80 443/tcp 53/udp
VOLUME ["/data"]
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --timeout=2s --retries=2 CMD test -e /etc/marker
RUN mkdir -p /etc && echo done > /etc/marker
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat /etc/marker"]
