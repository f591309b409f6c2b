import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Clock, systemClock } from '@longhaul/core/contracts';
import type { Log } from '../../worker/ports.ts';
import { ec2Endpoint } from '../../worker/preemption/ec2.ts';
import { ecsEndpoint } from '../../worker/preemption/ecs.ts';
import { gceEndpoint } from '../../worker/preemption/gce.ts';
import { kubernetesEndpoint } from '../../worker/preemption/kubernetes.ts';
import { type Endpoint, polled } from '../../worker/preemption/poll.ts';
import type { PreemptionNotice } from '../../worker/preemption/port.ts';
import { signalSource } from '../../worker/preemption/signals.ts';
import { watchPreemption } from '../../worker/preemption/watch.ts';
import { imdsPaths, instanceAction, type MetadataServer, startMetadataServer } from '../support/metadata-server.ts';

/** Polls follow one another within milliseconds. */
const hasty: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal) };

/** Watches an endpoint beside the test; what it gave and what it logged is there to be looked at. */
function watching(t: TestContext, endpoint: Endpoint) {
  const stop = new AbortController();
  const notices: PreemptionNotice[] = [];
  const logged: string[] = [];
  const news = new EventEmitter();
  const log: Log = (level, message, fields) => {
    logged.push(`${level} ${message} ${fields?.['reason'] ?? ''}`);
    news.emit('news');
  };
  const ended = (async () => {
    for await (const notice of polled(endpoint, { clock: hasty, log }).watch(stop.signal)) {
      notices.push(notice);
      news.emit('news');
    }
  })();
  t.after(async () => {
    stop.abort();
    await ended;
  });
  const until = async (holds: () => boolean) => {
    const timeout = AbortSignal.timeout(20_000);
    while (!holds()) {
      timeout.throwIfAborted();
      await systemClock.sleep(5, timeout);
    }
  };
  return { notices, logged, ended, until, stop };
}

async function server(t: TestContext): Promise<MetadataServer> {
  const started = await startMetadataServer();
  t.after(() => started.close());
  return started;
}

async function imds(t: TestContext): Promise<MetadataServer> {
  const started = await server(t);
  started.requireToken();
  return started;
}

const ec2At = (url: string, timeoutMs = 2000): Endpoint => ({ ...ec2Endpoint(url, systemClock.now), timeoutMs });
const questions = (of: MetadataServer) => of.requests.filter(({ method }) => method === 'GET').length;

test('EC2: a spot action is a leave with its time, and no question goes without a session token', async (t) => {
  const service = await imds(t);
  const { notices, logged, ended, until } = watching(t, ec2At(service.url));
  await until(() => questions(service) >= 9);
  assert.equal(notices.length, 0);
  service.set(imdsPaths.instanceAction, instanceAction('terminate'));
  await ended;
  assert.deepEqual(notices, [
    { action: 'leave', what: 'spot instance action terminate', deadline: new Date('2026-01-02T03:04:05Z') },
  ]);
  assert.deepEqual(logged, []);
  assert.equal(service.requests.filter(({ method }) => method === 'PUT').length, 1, 'one token serves many questions');
  const bare = service.requests.filter(
    (r) => r.method === 'GET' && r.headers['x-aws-ec2-metadata-token'] === undefined,
  );
  assert.deepEqual(bare, []);
});

test('EC2: stop and hibernate are leaves as well', async (t) => {
  for (const action of ['stop', 'hibernate']) {
    const service = await imds(t);
    service.set(imdsPaths.instanceAction, instanceAction(action));
    const { notices, ended } = watching(t, ec2At(service.url));
    await ended;
    assert.equal(notices[0]?.what, `spot instance action ${action}`);
    assert.equal(notices[0]?.action, 'leave');
  }
});

test('EC2: a token that has run out (401) is replaced at once, and nothing is said of it', async (t) => {
  const service = await imds(t);
  const { notices, logged, ended, until } = watching(t, ec2At(service.url));
  await until(() => questions(service) >= 3);
  service.expireTokens();
  service.set(imdsPaths.instanceAction, instanceAction('stop'));
  await ended;
  assert.equal(notices.length, 1);
  assert.deepEqual(logged, []);
});

test('EC2: a token is renewed before its end', async (t) => {
  const service = await imds(t);
  let now = 0;
  const { until } = watching(t, { ...ec2Endpoint(service.url, () => now), timeoutMs: 2000 });
  const tokens = () => service.requests.filter(({ method }) => method === 'PUT').length;
  await until(() => questions(service) >= 6);
  assert.equal(tokens(), 1);
  now = 4 * 3600 * 1000;
  await until(() => tokens() === 2);
});

test('EC2: a rebalance recommendation is told once as soon, and a leave may still follow', async (t) => {
  const service = await imds(t);
  service.set(imdsPaths.rebalance, { body: '{"noticeTime":"2026-01-02T03:00:00Z"}' });
  service.set(imdsPaths.lifecycle, { body: 'InService' });
  const { notices, ended, until } = watching(t, ec2At(service.url));
  await until(() => questions(service) >= 12);
  assert.deepEqual(
    notices.map((n) => n.action),
    ['soon'],
  );
  service.set(imdsPaths.lifecycle, { body: 'Terminated' });
  await ended;
  assert.deepEqual(
    notices.map((n) => n.action),
    ['soon', 'leave'],
  );
});

test('EC2: garbage behind one path is told once and does not silence the others', async (t) => {
  const service = await imds(t);
  service.set(imdsPaths.rebalance, { body: '<html>' });
  const { notices, logged, ended, until } = watching(t, ec2At(service.url));
  await until(() => questions(service) >= 30);
  assert.equal(logged.length, 1, logged.join('\n'));
  assert.match(
    logged[0]!,
    /warn preemption source does not answer.*rebalance answered what is not understood: "<html>"/,
  );
  service.set(imdsPaths.instanceAction, instanceAction('terminate'));
  await ended;
  assert.equal(notices.length, 1);
});

test('ECS: a task that is to be stopped leaves', async (t) => {
  const service = await server(t);
  service.set('/v4/abc/task', { body: JSON.stringify({ DesiredStatus: 'RUNNING', KnownStatus: 'RUNNING' }) });
  const { notices, ended, until } = watching(t, ecsEndpoint(`${service.url}/v4/abc`));
  await until(() => questions(service) >= 3);
  assert.equal(notices.length, 0);
  service.set('/v4/abc/task', { body: JSON.stringify({ DesiredStatus: 'STOPPED', KnownStatus: 'RUNNING' }) });
  await ended;
  assert.deepEqual(notices, [{ action: 'leave', what: 'the task is to be stopped', deadline: null }]);
});

test('GCE: a preempted VM leaves, and each question says that it is meant for the metadata server', async (t) => {
  const service = await server(t);
  const path = '/computeMetadata/v1/instance/preempted';
  service.set(path, { body: 'FALSE' });
  const { notices, ended, until } = watching(t, gceEndpoint(service.url));
  await until(() => questions(service) >= 3);
  assert.equal(notices.length, 0);
  service.set(path, { body: 'TRUE\n' });
  await ended;
  assert.equal(notices[0]?.action, 'leave');
  assert.ok(service.requests.every(({ headers }) => headers['metadata-flavor'] === 'Google'));
});

async function serviceAccount(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-account-'));
  t.after(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'token'), 'first-token\n');
  await writeFile(join(dir, 'namespace'), 'reading');
  return dir;
}

const podPath = '/api/v1/namespaces/reading/pods/worker-7';
const podWith = (metadata: object) => ({ body: JSON.stringify({ kind: 'Pod', metadata, spec: {} }) });

test('Kubernetes: a pod with a deletion timestamp leaves by it; the token is the one that lies there now', async (t) => {
  const service = await server(t);
  const account = await serviceAccount(t);
  service.set(podPath, podWith({ name: 'worker-7' }));
  const endpoint = kubernetesEndpoint({ api: service.url, serviceAccount: account, pod: 'worker-7' });
  const { notices, ended, until } = watching(t, endpoint);
  await until(() => questions(service) >= 3);
  assert.equal(notices.length, 0);
  await writeFile(join(account, 'token'), 'second-token');
  service.set(podPath, podWith({ name: 'worker-7', deletionTimestamp: '2026-05-06T07:08:09Z' }));
  await ended;
  assert.deepEqual(notices[0]?.deadline, new Date('2026-05-06T07:08:09Z'));
  assert.equal(service.requests[0]?.headers['authorization'], 'Bearer first-token');
  await until(() => notices.length === 1);
});

test('Kubernetes: without the right to see the pod, or without an account, the watching ends and says why', async (t) => {
  const service = await server(t);
  service.set(podPath, { status: 403, body: '{"kind":"Status"}' });
  const account = await serviceAccount(t);
  const forbidden = watching(t, kubernetesEndpoint({ api: service.url, serviceAccount: account, pod: 'worker-7' }));
  await forbidden.ended;
  assert.match(forbidden.logged.join('\n'), /may not get pod worker-7; SIGTERM will tell/);
  const bare = watching(t, kubernetesEndpoint({ api: service.url, serviceAccount: '/nowhere', pod: 'worker-7' }));
  await bare.ended;
  assert.match(bare.logged.join('\n'), /no service account in \/nowhere/);
  assert.deepEqual([...forbidden.notices, ...bare.notices], []);
});

test('a broken service is told once, asked on, and heard when it is well again', async (t) => {
  const troubles = {
    hanging: { hang: true },
    'a body without an end': { stallBody: true },
    '500': { status: 500, body: 'sorry' },
    garbage: { body: '\u0000\u0001{' },
    'the wrong shape': { body: '{"action":7,"DesiredStatus":[]}' },
    'more than a megabyte': { body: 'x'.repeat(1_100_000) },
  };
  for (const [name, trouble] of Object.entries(troubles)) {
    const service = await server(t);
    service.set('/task', trouble);
    const { notices, logged, ended, until } = watching(t, { ...ecsEndpoint(service.url), timeoutMs: 150 });
    await until(() => questions(service) >= 6);
    assert.equal(logged.length, 1, `${name}: ${logged.join('\n')}`);
    assert.match(logged[0]!, /^warn preemption source does not answer; asking on/);
    service.set('/task', { body: '{"DesiredStatus":"STOPPED"}' });
    await ended;
    assert.equal(notices.length, 1, name);
    assert.match(logged[1]!, /^info preemption source answers again/);
  }
});

test('one slow answer is no outage', async (t) => {
  const service = await server(t);
  service.set('/task', { hang: true });
  const { logged, until } = watching(t, { ...ecsEndpoint(service.url), timeoutMs: 1000 });
  await until(() => questions(service) === 2);
  service.set('/task', { body: '{"DesiredStatus":"RUNNING"}' });
  await until(() => questions(service) >= 6);
  assert.deepEqual(logged, []);
});

test('the first notice wins, soon gives way to leave, every notice is logged, and a second signal is told', async () => {
  const emitter = new EventEmitter();
  const signals = signalSource((listener) => {
    emitter.on('signal', listener);
    return () => emitter.off('signal', listener);
  });
  const stop = new AbortController();
  const done: string[] = [];
  const logged: string[] = [];
  const told = new EventEmitter();
  const soon = {
    name: 'cloud',
    async *watch() {
      yield { action: 'soon', what: 'rebalance', deadline: null } as const;
      yield { action: 'soon', what: 'rebalance again', deadline: null } as const;
      emitter.emit('signal', 'SIGTERM');
      emitter.emit('signal', 'SIGINT');
    },
  };
  const broken = {
    name: 'broken',
    // biome-ignore lint/correctness/useYield: it fails before it has anything to give
    async *watch(): AsyncGenerator<PreemptionNotice> {
      throw new Error('a slip');
    },
  };
  const ended = watchPreemption([broken, signals, soon], {
    on: { leave: (reason) => done.push(`leave: ${reason}`), soon: (reason) => done.push(`soon: ${reason}`) },
    log: (_level, message, fields) => {
      logged.push(`${fields?.['source']}: ${message}: ${fields?.['reason']}`);
      told.emit(String(fields?.['reason']));
    },
    signal: stop.signal,
  });
  await new Promise((resolve) => told.once('SIGINT', resolve));
  stop.abort();
  await ended;
  assert.deepEqual(done, ['soon: rebalance', 'leave: SIGTERM']);
  assert.deepEqual(logged, [
    'broken: preemption source ended: a slip',
    'cloud: preemption notice: rebalance',
    'cloud: preemption notice; another was first: rebalance again',
    'signal: preemption notice: SIGTERM',
    'signal: preemption notice; another was first: SIGINT',
  ]);
  assert.equal(emitter.listenerCount('signal'), 0);
});
