# expect /a/b/c/where: /a/b/c
FROM busybox:test
WORKDIR /a
WORKDIR b
ENV DIR=c
WORKDIR $DIR
RUN pwd > where
