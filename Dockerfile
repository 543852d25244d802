# The gateway in a container: docker build -t ws-gateway .
#
# Everything that is installed is pinned by its hash in deploy/*.lock. Pin the base image as well, by building with
#   --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:<digest>
# What comes out needs no root and writes nothing: it runs on a read-only root file system.

ARG PYTHON_IMAGE=python:3.13-slim-trixie


FROM ${PYTHON_IMAGE} AS build

WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1

# Two environments: what the gateway runs in, and what it is built with.
RUN python -m venv --without-pip /opt/ws-gateway && python -m venv /opt/build

# Before the sources: these layers stay as they are until a lock changes.
COPY deploy/requirements.lock deploy/build-requirements.lock ./
RUN /opt/build/bin/pip install --require-hashes --only-binary :all: -r build-requirements.lock
RUN /opt/build/bin/pip --python /opt/ws-gateway/bin/python install --no-compile --require-hashes \
        --only-binary :all: -r requirements.lock

COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY src ./src
COPY twisted ./twisted
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/wheels . \
    && /opt/build/bin/pip --python /opt/ws-gateway/bin/python install --no-compile --no-deps --no-index \
        /build/wheels/*.whl

# Byte code judged by content, not by time, so that equal sources make equal images.
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/ws-gateway/lib
# Twisted notes its plugins in dropin.cache files, now, since nobody may write where it runs.
RUN /opt/ws-gateway/bin/twistd --help >/dev/null \
    && test -s "$(/opt/ws-gateway/bin/python -c 'import twisted.plugins as p; print(list(p.__path__)[0])')/dropin.cache" \
    && /opt/ws-gateway/bin/twistd ws-gateway --help >/dev/null

COPY deploy/docker/healthcheck /opt/ws-gateway/bin/healthcheck
RUN chmod 755 /opt/ws-gateway/bin/healthcheck


FROM ${PYTHON_IMAGE}

LABEL org.opencontainers.image.title="ws-gateway" \
      org.opencontainers.image.description="Holds the WebSockets of request/response web applications" \
      org.opencontainers.image.licenses="MIT"

RUN groupadd --gid 10001 ws-gateway \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ws-gateway
COPY --from=build /opt/ws-gateway /opt/ws-gateway

ENV PATH=/opt/ws-gateway/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    WS_HOST=0.0.0.0 \
    WS_PORT=8000
USER 10001:10001
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["healthcheck"]
ENTRYPOINT ["twistd", "--nodaemon", "--pidfile="]
CMD ["ws-gateway"]
