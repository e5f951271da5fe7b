# expect /app/a: a
FROM busybox:test AS a
RUN echo a > /a
FROM busybox:test
COPY --link --from=a --chmod=0640 /a /app/a
