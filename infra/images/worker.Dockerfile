# longhaul-worker: the worker with the engine for GPUs. No model: LONGHAUL_MODEL says where the weights are.
#
# Built from the repository's root by `npm run images`, which gives the arguments: bases from infra/images/bases.env, the rest from
# git. The CUDA runtime is linked into the addon. Of the toolkit the image has cuBLASLt alone, which the engine opens at run time;
# libcuda.so.1 comes from the host's driver, through NVIDIA's container toolkit or GKE's device plugin.
ARG CUDA_IMAGE
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

FROM ${CUDA_IMAGE} AS addon
RUN apt-get update \
  && apt-get install -y --no-install-recommends cmake=3.28.* \
  && rm -rf /var/lib/apt/lists/*
COPY --from=packages /usr/local/bin/node /usr/local/bin/node
COPY --from=packages /app /app
WORKDIR /app
COPY scripts/build-native.mjs scripts/cuda-architectures.mjs scripts/
COPY native native
# Every GPU of a release; the build fails where this nvcc lacks one.
RUN node scripts/build-native.mjs --release \
  && install -D -s native/build/longhaul.node /files/app/native/build/longhaul.node \
  && install -D -m 0644 "$(readlink -f /usr/local/cuda/lib64/libcublasLt.so.13)" /files/usr/local/lib/libcublasLt.so.13

FROM ${NODE_IMAGE} AS files
RUN apt-get update \
  && apt-get install -y --no-install-recommends tini=0.19.0-* \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /files/app
COPY package.json infra/images/healthcheck.mjs ./
COPY core core
COPY native/*.ts native/package.json native/
COPY worker worker
RUN chmod -R u=rwX,go=rX /files/app \
  && install -D /usr/bin/tini-static /files/usr/bin/tini \
  && install -D /usr/local/bin/node /files/usr/local/bin/node \
  && cp --parents --dereference /usr/lib/*-linux-gnu/libatomic.so.1 /files \
  && mkdir -p /writable/longhaul/models

FROM ${RUNTIME_IMAGE}
# The largest layer and the one that changes least comes first.
COPY --from=addon /files/usr /usr
COPY --from=files /files/usr /usr
COPY --from=packages /app/node_modules /app/node_modules
COPY --from=files /files/app /app
COPY --from=addon /files/app /app
COPY --from=files --chown=65532:65532 /writable /var/lib
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="longhaul-worker" \
  org.opencontainers.image.description="Worker of longhaul on NVIDIA GPUs" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"
# LONGHAUL_DEVICE: without a GPU the worker ends with that reason, and does not read at the speed of a CPU.
# LD_LIBRARY_PATH: there the nodes of GKE mount the driver, and tell the loader nothing of it. NVIDIA's container toolkit puts it
# where the loader looks anyway, and leaves this folder missing. Nothing of the base's is replaced: it has no such path.
ENV NODE_ENV=production \
  NODE_OPTIONS="--disable-warning=ExperimentalWarning --max-semi-space-size=4" \
  LD_LIBRARY_PATH=/usr/local/nvidia/lib64 \
  NVIDIA_DRIVER_CAPABILITIES=compute,utility \
  NVIDIA_REQUIRE_CUDA=cuda>=13.0 \
  NVIDIA_VISIBLE_DEVICES=all \
  LONGHAUL_CUBLASLT=/usr/local/lib/libcublasLt.so.13 \
  LONGHAUL_DEVICE=cuda:0 \
  LONGHAUL_METRICS_ADDRESS=0.0.0.0:9464 \
  LONGHAUL_MODEL_CACHE=/var/lib/longhaul/models
WORKDIR /app
USER 65532:65532
VOLUME ["/tmp", "/var/lib/longhaul"]
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --retries=3 CMD ["/usr/local/bin/node", "/app/healthcheck.mjs"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["/usr/local/bin/node", "worker/main.ts", "serve"]
