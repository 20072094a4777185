# syntax=docker/dockerfile:1
# The bot in a container: `docker build -t painter .` for CPUs, `docker build --build-arg TORCH=cuda -t painter:cuda .`
# for NVIDIA GPUs. The driver comes from the host (NVIDIA Container Toolkit); the CUDA libraries come with torch's wheel.
# By digest, so that what was tested is what is built: `docker buildx imagetools inspect python:3.11-slim-bookworm` tells
# today's, which brings Debian's fixes.
ARG PYTHON=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON} AS packages
ARG TORCH=cpu
# ray: with what painters on other machines need (deploy/RAY.md).
ARG CLUSTER=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.txt requirements-cluster.txt ./
# PyPI's torch brings CUDA along, several gigabytes of it; the one for CPUs is on torch's own index. Neither goes by hash, since
# the two builds of one version have different ones; everything else does.
RUN torch=$(grep -o '^torch==[^ ]*' requirements.txt) \
    && case "$TORCH" in \
      cpu) pip install --extra-index-url https://download.pytorch.org/whl/cpu "$torch+cpu" ;; \
      cuda) pip install "$torch" ;; \
      *) echo "TORCH: expected cpu or cuda, found $TORCH" >&2; exit 2 ;; \
    esac \
    && pip install --no-deps --require-hashes -r requirements${CLUSTER:+-cluster}.txt

FROM ${PYTHON}
ARG TORCH=cpu
# On a GPU Triton builds the engine's own kernels, with a C compiler.
RUN [ "$TORCH" != cuda ] || { apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*; }
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin painter \
    && install -d -o painter -g painter /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY LICENSE LICENSES.md config.yaml ./
COPY models models
COPY engine engine
COPY bot bot
COPY cogs cogs
COPY local_discord local_discord
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PAINTER__STORAGE__FOLDER=/data \
    PAINTER__MODELS__FOLDER=/data/models
USER 10001
# Ledger, pictures, checkpoints, fetched models: all that must outlive the container.
VOLUME /data
# Loading the models takes a while on a slow disk; after that, three failures in a row are one too many.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=8)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "bot"]
CMD ["run"]
