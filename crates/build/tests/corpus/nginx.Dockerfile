FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends nginx-light \
    && rm -rf /var/lib/apt/lists/* \
    && ln -sf /dev/stdout /var/log/nginx/access.log \
    && ln -sf /dev/stderr /var/log/nginx/error.log
COPY <<'EOF' /etc/nginx/sites-enabled/default
server {
    listen 80 default_server;
    root /usr/share/nginx/html;
    location /health { return 200 "ok\n"; }
}
EOF
EXPOSE 80
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=10s CMD ["/usr/sbin/nginx", "-t", "-q"]
CMD ["nginx", "-g", "daemon off;"]
