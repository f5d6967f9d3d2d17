# The server and nothing else: no compiler, no embedded PostgreSQL, no pip. It writes nowhere but into /tmp.
FROM python:3.11-slim-bookworm AS build

WORKDIR /src
COPY . .
# All of it comes as wheels, in the versions of requirements.lock.
RUN python -m venv /build \
    && /build/bin/pip install --no-cache-dir --only-binary=:all: --constraint requirements.lock hatchling \
    && /build/bin/python -m hatchling build --target wheel --directory dist \
    && python -m venv --without-pip /opt/hitchpost \
    && /build/bin/pip --python /opt/hitchpost/bin/python install --no-cache-dir --only-binary=:all: \
        --constraint requirements.lock dist/hitchpost-*.whl


FROM python:3.11-slim-bookworm

ARG VERSION=unknown
LABEL org.opencontainers.image.title="Hitchpost" \
    org.opencontainers.image.description="Self-hosted gRPC service that connects social accounts and posts" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}"

COPY --from=build /opt/hitchpost /opt/hitchpost

ENV PATH="/opt/hitchpost/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    HITCHPOST_GRPC_ADDRESS=0.0.0.0:50051 \
    HITCHPOST_WEB_ADDRESS=0.0.0.0:8080 \
    HITCHPOST_WORKER_ADDRESS=0.0.0.0:8081 \
    HITCHPOST_METRICS_ADDRESS=0.0.0.0:9464

# By number, so that Kubernetes sees that it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 50051 8080 8081 9464
# Who runs one role asks for it: hitchpost probe --role web.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s CMD ["hitchpost", "probe"]
ENTRYPOINT ["hitchpost"]
CMD ["serve"]
