FROM debian:bookworm-slim
RUN --security=sandbox id
RUN --security=insecure --network=host mount -t tmpfs none /mnt
