# expect /home/app/who: 1000:1000
FROM busybox:test
RUN mkdir -p /home/app && chown 1000:1000 /home/app
USER 1000:1000
WORKDIR /home/app
RUN echo $(id -u):$(id -g) > who
