# expect /sum: left right
FROM busybox:test AS base
RUN mkdir /out
FROM base AS left
RUN echo left > /out/l
FROM base AS right
RUN echo right > /out/r
FROM base
COPY --from=left /out/l /in/
COPY --from=right /out/r /in/
RUN echo $(cat /in/l) $(cat /in/r) > /sum
