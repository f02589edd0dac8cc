FROM python:3.11-slim-bookworm
# Run as an ordinary user; /data is the only place that is written to.
RUN useradd --create-home fiftycells && install -d -o fiftycells /data
WORKDIR /srv/fiftycells
COPY pyproject.toml README.md ./
COPY app app
COPY workers workers
COPY migrations migrations
COPY templates templates
COPY static static
RUN pip install --no-cache-dir --editable .
USER fiftycells
ENV FIFTYCELLS_DATA_DIR=/data PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
CMD ["fiftycells", "serve", "--host", "0.0.0.0"]
