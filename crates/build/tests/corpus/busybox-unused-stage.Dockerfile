# expect /ok: yes
FROM busybox:test AS broken
RUN exit 1
FROM busybox:test
RUN echo yes > /ok
