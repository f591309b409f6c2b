import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { workerNodeArgs } from '@longhaul/core/contracts';
import { parseBases } from '../../scripts/images/bases.ts';
import { environmentOf, parseDockerfile } from '../../scripts/images/dockerfile.ts';
import { imageNames } from '../../scripts/images/images.ts';
import { lintDockerfile, lintImages } from '../../scripts/images/lint.ts';
import { applyBaseRules, ruleNames } from '../../scripts/images/rules.ts';

const root = path.resolve(import.meta.dirname, '../..');
const bases = parseBases('BASE_IMAGE=registry.test/team/base:1.2\n');

/** Nothing is wrong with this one. */
const sound = `ARG BASE_IMAGE

FROM \${BASE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --omit=dev --workspace a
RUN apt-get update \\
  && apt-get install -y --no-install-recommends tini=1.* \\
  && rm -rf /var/lib/apt/lists/*

FROM \${BASE_IMAGE}
COPY --from=packages /app /app
ARG VERSION=0
LABEL org.opencontainers.image.title="a" \\
  org.opencontainers.image.description="b" \\
  org.opencontainers.image.version="\${VERSION}" \\
  org.opencontainers.image.revision="c" \\
  org.opencontainers.image.created="d"
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s CMD ["/usr/local/bin/node", "/app/healthcheck.mjs"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["/usr/local/bin/node", "main.ts"]
`;

const lint = (text: string) => lintDockerfile('x.Dockerfile', text, bases);

/** A fault each: the rule, what stands in the sound file, and what is put in its place. */
const faults: readonly (readonly [string, string, string])[] = [
  ['pinned-base', `FROM \${BASE_IMAGE}\n`, 'FROM registry.test/team/base:1.2\n'],
  ['pinned-base', 'ARG BASE_IMAGE\n', 'ARG BASE_IMAGE=registry.test/team/base:1.2\n'],
  ['pinned-base', `\${BASE_IMAGE}\nCOPY`, `\${OTHER_IMAGE}\nCOPY`],
  ['copy-source', 'COPY package.json package-lock.json ./', 'COPY . .'],
  ['copy-source', 'COPY package.json package-lock.json ./', 'COPY [".", "."]'],
  ['copy-source', 'COPY package.json package-lock.json ./', 'COPY package.json ./ /app/'],
  ['copy-source', 'COPY package.json package-lock.json ./', 'COPY ./* ./'],
  ['copy-source', '--from=packages', '--from=registry.test/team/other:1'],
  ['no-add', 'COPY --from=packages /app /app', 'ADD https://example.com/app.tar /app'],
  ['user', 'USER 65532:65532\n', ''],
  ['user', 'USER 65532:65532\n', 'USER root\n'],
  ['healthcheck', 'HEALTHCHECK --interval=15s CMD ["/usr/local/bin/node", "/app/healthcheck.mjs"]\n', ''],
  ['healthcheck', 'CMD ["/usr/local/bin/node", "/app/healthcheck.mjs"]', 'CMD node /app/healthcheck.mjs'],
  ['stop-signal', 'STOPSIGNAL SIGTERM', 'STOPSIGNAL SIGKILL'],
  ['exec-form', 'CMD ["/usr/local/bin/node", "main.ts"]', 'CMD node main.ts'],
  ['exec-form', 'ENTRYPOINT ["/usr/bin/tini", "--"]', 'ENTRYPOINT ["/usr/local/bin/node"]'],
  ['no-run', 'USER 65532:65532\n', 'RUN chmod 777 /app\nUSER 65532:65532\n'],
  ['labels', '  org.opencontainers.image.revision="c" \\\n', ''],
  ['no-secrets', 'ARG VERSION=0\n', 'ARG VERSION=0\nARG NPM_TOKEN\n'],
  ['no-secrets', 'ARG VERSION=0\n', 'ARG VERSION=0\nENV LONGHAUL_REDIS_URL=redis://worker:hunter2@queue:6379\n'],
  ['no-secrets', 'package.json package-lock.json', 'package.json .env'],
  ['no-secrets', 'COPY package.json package-lock.json ./', 'COPY [".env", "./"]'],
  ['no-secrets', 'ARG VERSION=0\n', 'ARG VERSION=0\nENV LONGHAUL_REDIS_URL=redis://queue:6379\n'],
  ['heredoc', 'RUN npm ci', 'RUN <<EOF\nnpm install\nEOF\nRUN npm ci'],
  ['apt', ' --no-install-recommends', ''],
  ['apt', 'tini=1.*', 'tini'],
  ['apt', ' \\\n  && rm -rf /var/lib/apt/lists/*', ''],
  ['apt', '  && rm -rf', '  && apt-get install -y --no-install-recommends curl \\\n  && rm -rf'],
  ['apt', 'apt-get install -y --no-install-recommends tini=1.*', 'apt-get -y install tini=1.*'],
  ['apt', 'apt-get install -y --no-install-recommends tini=1.*', 'apt install -y --no-install-recommends tini'],
  ['apt', 'apt-get install -y --no-install-recommends tini=1.*', '(apt-get install -y tini=1.*)'],
  ['apt', 'RUN npm ci', 'RUN ["apt-get", "install", "-y", "tini"]\nRUN npm ci'],
  [
    'apt',
    'apt-get install -y --no-install-recommends tini=1.* \\\n  && rm -rf /var/lib/apt/lists/*',
    'rm -rf /var/lib/apt/lists/* \\\n  && apt-get install -y --no-install-recommends tini=1.*',
  ],
  ['npm', 'npm ci', 'npm install'],
  ['npm', ' --workspace a\n', ' --workspace a && npm ci\n'],
  ['npm', ' --workspace a\n', ' --workspace a && npm install left-pad\n'],
  ['npm', ' --workspace a\n', ' --workspace a; npm --no-fund add left-pad\n'],
  ['npm', ' --workspace a\n', " --workspace a && sh -c 'npm i left-pad'\n"],
  ['npm', ' --workspace a\n', ' --workspace a && npx left-pad\n'],
  ['npm', 'RUN npm ci', 'RUN ["npm", "install", "left-pad"]\nRUN npm ci'],
  ['npm', ' --ignore-scripts', ''],
  ['reproducible', 'RUN npm ci', 'RUN date -u && curl https://example.com && npm ci'],
  ['dockerfile-utils', 'WORKDIR /app', 'WORKDIRR /app'],
  ['dockerfilelint/missing_tag', `FROM \${BASE_IMAGE}\n`, 'FROM base\n'],
];

test('a sound Dockerfile has no findings', () => {
  assert.deepEqual(lint(sound), []);
});

for (const [rule, good, bad] of faults) {
  test(`${rule} is found: ${(bad || `without ${good}`).trim().split('\n')[0]}`, () => {
    assert.ok(sound.includes(good));
    const found = lint(sound.replace(good, bad));
    assert.ok(
      found.some((finding) => finding.rule === rule && finding.line > 0),
      JSON.stringify(found),
    );
  });
}

test('every rule of ours has a fault that it finds', () => {
  const proved = new Set([...faults.map(([rule]) => rule), 'base-tag']);
  assert.deepEqual(
    ruleNames.filter((name) => !proved.has(name)),
    [],
  );
});

test('a base without a version is no pin', () => {
  const [finding] = applyBaseRules('bases.env', parseBases('# bases\nA_IMAGE=registry.test/team/base:latest\n'));
  assert.equal(finding?.line, 2);
  assert.throws(() => parseBases('A_IMAGE=registry.test/team/base\n'), /bases.env:1: expected NAME=.*:tag.*found/);
});

test('the images of this repository have no findings', async () => {
  assert.deepEqual(await lintImages(root), []);
});

const environment = async (name: string) => {
  const file = `infra/images/${name}.Dockerfile`;
  return new Map(Object.entries(environmentOf(parseDockerfile(file, await readFile(path.join(root, file), 'utf8')))));
};

test("workers in images run with the arguments of every other worker's Node", async () => {
  for (const name of ['worker', 'worker-cpu']) {
    assert.equal((await environment(name)).get('NODE_OPTIONS'), workerNodeArgs.join(' '), name);
  }
});

test('every image serves its metrics where its health is asked for', async () => {
  for (const name of imageNames) {
    assert.equal((await environment(name)).get('LONGHAUL_METRICS_ADDRESS'), '0.0.0.0:9464', name);
  }
});

test('the worker on GPUs finds the driver where GKE mounts it; nothing else is searched before the system', async () => {
  assert.equal((await environment('worker')).get('LD_LIBRARY_PATH'), '/usr/local/nvidia/lib64');
  assert.equal((await environment('worker-cpu')).get('LD_LIBRARY_PATH'), undefined);
});
