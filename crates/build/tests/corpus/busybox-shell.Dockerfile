# expect /s: from another shell
FROM busybox:test
SHELL ["/bin/sh", "-e", "-c"]
RUN echo from another shell > /s
SHELL ["/bin/sh", "-c"]
