# expect /hello: hello
FROM busybox:test
RUN echo hello > /hello
CMD ["cat", "/hello"]
