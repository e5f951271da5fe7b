FROM debian:bookworm-slim
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.invalid/file.txt /opt/
ADD --keep-git-dir=true https://example.invalid/app.git#v1.0 /src
ADD archive.tar.gz /opt/archive
