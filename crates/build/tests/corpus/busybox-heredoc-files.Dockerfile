# expect /etc/app.conf: port=80
FROM busybox:test
ARG PORT=80
COPY <<EOF /etc/app.conf
port=$PORT
EOF
COPY <<'EOF' /etc/raw.conf
port=$PORT
EOF
