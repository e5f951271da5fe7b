# escape=`
# expect /p: a\b
FROM busybox:test
RUN echo 'a\b' `
    > /p
