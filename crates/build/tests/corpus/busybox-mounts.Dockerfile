# expect /seen: kept 1
FROM busybox:test AS source
RUN echo 1 > /one
FROM busybox:test
RUN --mount=type=cache,target=/cache echo kept > /cache/k
RUN --mount=type=cache,target=/cache --mount=type=bind,from=source,target=/s --mount=type=tmpfs,target=/t \
    cp /cache/k /t/k && echo $(cat /t/k) $(cat /s/one) > /seen
