# expect /v: 2 1 linux
ARG BASE=busybox:test
FROM ${BASE}
ARG ONE=1
ARG TWO=2
ARG TARGETOS
ENV V="$TWO $ONE"
RUN echo "$V $TARGETOS" > /v
