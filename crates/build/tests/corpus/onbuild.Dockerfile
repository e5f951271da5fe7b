FROM python:3.12-slim
ONBUILD COPY requirements.txt /tmp/
ONBUILD RUN pip install -r /tmp/requirements.txt
ONBUILD USER nobody
