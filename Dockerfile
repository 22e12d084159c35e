# genray with the versions of constraints.txt, for KubeRay and for plain docker; workers need nothing but this image.
#
#   docker build -t genray .
#   docker run --rm --gpus all --shm-size 8g -v genray-runs:/home/genray/runs genray \
#     genray sweep search_spaces/quickstart.yaml --out /home/genray/runs/quickstart
FROM python:3.11-slim-bookworm

# KubeRay asks by wget whether a node is well.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 --user-group genray \
    && install -d -o genray -g genray /home/genray/genray /home/genray/runs

USER 1000:1000
WORKDIR /home/genray/genray
ENV PATH=/home/genray/genray/.venv/bin:$PATH PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0

COPY --chown=1000:1000 pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=1000:1000 launch/setup launch/setup
COPY --chown=1000:1000 genray genray
RUN launch/setup
COPY --chown=1000:1000 search_spaces search_spaces

CMD ["genray", "--help"]
