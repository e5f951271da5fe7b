# expect /bin/tool: built
FROM busybox:test AS build
WORKDIR /src
RUN echo built > tool

FROM scratch AS files
COPY --from=build /src/tool /tool

FROM busybox:test
COPY --from=files /tool /bin/tool
