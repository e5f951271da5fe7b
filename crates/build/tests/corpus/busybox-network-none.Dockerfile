# expect /n: lo
FROM busybox:test
RUN --network=none ls /sys/class/net > /n
