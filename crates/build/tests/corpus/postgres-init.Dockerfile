FROM postgres:16
ENV POSTGRES_DB=app
COPY --chmod=0644 init/*.sql /docker-entrypoint-initdb.d/
HEALTHCHECK --interval=5s --timeout=3s CMD pg_isready -U postgres
