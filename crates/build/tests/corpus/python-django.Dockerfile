FROM python:3.12
ARG DJANGO_VERSION=5.0
ENV DJANGO_SETTINGS_MODULE=site.settings
WORKDIR /srv
RUN pip install "django==${DJANGO_VERSION}.*" psycopg[binary]
COPY manage.py ./
COPY site site
RUN python manage.py collectstatic --noinput
ENTRYPOINT ["python", "manage.py"]
CMD ["runserver", "0.0.0.0:8000"]
