# expect /e: x-default-alt-
FROM busybox:test
ENV SET=x EMPTY=""
ENV ALL=${SET}-${NONE:-default}-${SET:+alt}-${NONE:+no}
RUN echo "$ALL" > /e
