# longhaul-worker-cpu: the worker with the engine for CPUs, and the small model that makes a first job possible.
#
# Built from the repository's root by `npm run images`, which gives the arguments: bases from infra/images/bases.env, the rest from
# git. There is no nvcc where it is built, so the addon has no CUDA backend and a GPU is never looked for.
ARG NODE_IMAGE
ARG RUNTIME_IMAGE

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY .npmrc package.json package-lock.json ./
COPY core/package.json core/
COPY native/package.json native/
COPY worker/package.json worker/
RUN npm ci --ignore-scripts --omit=dev --libc=glibc --workspace @longhaul/native --workspace @longhaul/worker \
  && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete

FROM packages AS files
RUN apt-get update \
  && apt-get install -y --no-install-recommends cmake=3.31.* tini=0.19.0-* \
  && rm -rf /var/lib/apt/lists/*
COPY scripts/build-native.mjs scripts/cuda-architectures.mjs scripts/
COPY native native
RUN node scripts/build-native.mjs
WORKDIR /files/app
COPY package.json infra/images/healthcheck.mjs ./
COPY core core
COPY native/*.ts native/package.json native/
COPY worker worker
COPY models/tiny-english models/tiny-english
RUN install -D -s /app/native/build/longhaul.node native/build/longhaul.node \
  && chmod -R u=rwX,go=rX /files/app \
  && install -D /usr/bin/tini-static /files/usr/bin/tini \
  && install -D /usr/local/bin/node /files/usr/local/bin/node \
  && cp --parents --dereference /usr/lib/*-linux-gnu/libatomic.so.1 /files \
  && mkdir -p /writable/longhaul/models

FROM ${RUNTIME_IMAGE}
COPY --from=files /files/usr /usr
COPY --from=packages /app/node_modules /app/node_modules
COPY --from=files /files/app /app
COPY --from=files --chown=65532:65532 /writable /var/lib
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="longhaul-worker-cpu" \
  org.opencontainers.image.description="Worker of longhaul on CPUs, with the model tiny-english" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"
ENV NODE_ENV=production \
  NODE_OPTIONS="--disable-warning=ExperimentalWarning --max-semi-space-size=4" \
  LONGHAUL_DEVICE=cpu \
  LONGHAUL_METRICS_ADDRESS=0.0.0.0:9464 \
  LONGHAUL_MODEL=tiny-english \
  LONGHAUL_MODEL_CACHE=/var/lib/longhaul/models
WORKDIR /app
USER 65532:65532
VOLUME ["/tmp", "/var/lib/longhaul"]
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --retries=3 CMD ["/usr/local/bin/node", "/app/healthcheck.mjs"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["/usr/local/bin/node", "worker/main.ts", "serve"]
