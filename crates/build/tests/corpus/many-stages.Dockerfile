FROM debian:bookworm-slim AS s0
RUN echo 0 > /f
FROM s0 AS s1
RUN echo 1 >> /f
FROM s1 AS s2
RUN echo 2 >> /f
FROM s2 AS s3
RUN echo 3 >> /f
FROM s3 AS s4
RUN echo 4 >> /f
FROM s4 AS s5
RUN echo 5 >> /f
FROM s5 AS s6
RUN echo 6 >> /f
FROM s6 AS s7
RUN echo 7 >> /f
FROM s7 AS s8
RUN echo 8 >> /f
FROM s8 AS s9
RUN echo 9 >> /f
FROM s9 AS s10
RUN echo 10 >> /f
FROM s10 AS s11
RUN echo 11 >> /f
