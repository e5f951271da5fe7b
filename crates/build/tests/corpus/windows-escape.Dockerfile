# escape=`
FROM debian:bookworm-slim
ENV DIR="C:\\app"
RUN echo one `
    && echo two
