FROM debian:bookworm-slim as Old
MAINTAINER nobody
ENV key value
RUN cd /tmp
WORKDIR relative
CMD echo $key
FROM Old
CMD ["true"]
CMD ["false"]
