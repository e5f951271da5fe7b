FROM gcc:13 AS build
COPY main.c /src/
RUN gcc -O2 -static -o /hello /src/main.c
FROM scratch
COPY --from=build /hello /
CMD ["/hello"]
