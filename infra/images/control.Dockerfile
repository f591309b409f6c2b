# longhaul-control: HTTP API, controller and command line. No compiler, no shell, no native code.
#
# Built from the repository's root by `npm run images`, which gives the arguments: bases from infra/images/bases.env, the rest from
# git. A container is told what it is by its command:
#   node producer/main.ts api --host 0.0.0.0 --port 8080     (the default)
#   node infra/controller/main.ts
#   node producer/main.ts submit …
ARG NODE_IMAGE
ARG RUNTIME_IMAGE

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY .npmrc package.json package-lock.json ./
COPY core/package.json core/
COPY infra/controller/package.json infra/controller/
COPY producer/package.json producer/
# Optional packages are prebuilt native code, which nothing here needs; declarations and maps are for people who write programs.
RUN npm ci --ignore-scripts --omit=dev --omit=optional --workspace @longhaul/controller --workspace @longhaul/producer \
  && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete

FROM ${NODE_IMAGE} AS files
RUN apt-get update \
  && apt-get install -y --no-install-recommends tini=0.19.0-* \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /files/app
COPY package.json infra/images/healthcheck.mjs ./
COPY core core
COPY infra/controller infra/controller
COPY producer producer
# Modes as git has them, whatever the umask of the checkout; the application belongs to root and is written by nobody.
# On arm64 Node wants libatomic, which the runtime has not.
RUN chmod -R u=rwX,go=rX /files/app \
  && install -D /usr/bin/tini-static /files/usr/bin/tini \
  && install -D /usr/local/bin/node /files/usr/local/bin/node \
  && cp --parents --dereference /usr/lib/*-linux-gnu/libatomic.so.1 /files \
  && mkdir -p /writable/longhaul

FROM ${RUNTIME_IMAGE}
COPY --from=files /files/usr /usr
COPY --from=packages /app/node_modules /app/node_modules
COPY --from=files /files/app /app
COPY --from=files --chown=65532:65532 /writable /var/lib
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="longhaul-control" \
  org.opencontainers.image.description="HTTP API, controller and command line of longhaul" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"
ENV NODE_ENV=production \
  NODE_OPTIONS=--disable-warning=ExperimentalWarning \
  LONGHAUL_DATA=/var/lib/longhaul \
  LONGHAUL_METRICS_ADDRESS=0.0.0.0:9464
WORKDIR /app
USER 65532:65532
VOLUME ["/tmp", "/var/lib/longhaul"]
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --retries=3 CMD ["/usr/local/bin/node", "/app/healthcheck.mjs"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["/usr/local/bin/node", "producer/main.ts", "api", "--host", "0.0.0.0", "--port", "8080"]
