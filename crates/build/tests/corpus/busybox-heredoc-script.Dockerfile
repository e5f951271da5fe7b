# expect /out: one two
FROM busybox:test
RUN <<EOF
set -e
printf one > /tmp/a
printf ' two\n' >> /tmp/a
mv /tmp/a /out
EOF
