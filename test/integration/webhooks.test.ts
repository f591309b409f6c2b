import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { RetryableFailure } from '@longhaul/core/contracts';
import { metric } from '@longhaul/core/telemetry';
import { webhookSecret } from '@longhaul/core/webhooks';
import { Webhook } from 'standardwebhooks';
import { runBatch } from '../../infra/controller/batches/run-batch.ts';
import { type DeliveryParts, deliverDue, pauseBefore } from '../../infra/controller/webhooks/deliver.ts';
import { askLine, BatchWorld, dyingStore, tenant } from '../support/batch-world.ts';
import { recordMetrics } from '../support/recorded.ts';
import { selfSignedCertificate } from '../support/self-signed.ts';

interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
}

const { cert, key } = selfSignedCertificate();
const received: Received[] = [];
/** Answers in order; 200 where there is none. */
let answers: { status: number; headers?: Record<string, string> }[] = [];
let server: Server;
let url: string;

before(async () => {
  server = createServer({ cert, key }, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    received.push({ headers: request.headers as Record<string, string>, body });
    const { status, headers = {} } = answers.shift() ?? { status: 200 };
    response.writeHead(status, headers).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
});
after(() => server.close());

const recorded = recordMetrics();
const signal = new AbortController().signal;
const outbox = (world: BatchWorld) => [...world.store.objects.keys()].filter((one) => one.startsWith('outbox/'));

/** The signature is checked against the present, so the world's time is that. */
function world(): { world: BatchWorld; parts: DeliveryParts; logged: string[] } {
  const made = new BatchWorld();
  made.ms = Date.now();
  received.length = 0;
  answers = [];
  const logged: string[] = [];
  const log: DeliveryParts['log'] = (_level, message, fields) => logged.push(`${message} ${JSON.stringify(fields)}`);
  return {
    world: made,
    logged,
    parts: { store: made.store, clock: made.clock, log, https: { ca: cert, allowHosts: ['127.0.0.1'] } },
  };
}

test('the end of a batch is told with a signature that a receiver can check, and told once', async () => {
  const { world: made, parts } = world();
  const { spec } = await made.create([askLine(0)], { webhook: url });
  await made.finish(spec.id);
  assert.equal((await deliverDue(parts, signal)).heard, 1);
  const [{ headers, body }] = received as [Received];
  const event = new Webhook(await webhookSecret(made.store, tenant)).verify(body, headers) as {
    type: string;
    data: object;
  };
  assert.deepEqual([event.type, event.data], ['batch.completed', { id: spec.id }]);
  assert.throws(() => new Webhook(`whsec_${Buffer.alloc(32).toString('base64')}`).verify(body, headers));
  assert.equal((await deliverDue(parts, signal)).heard, 0);
  assert.deepEqual([received.length, outbox(made)], [1, []]);
});

test('failed, expired and cancelled are told as such', async () => {
  const { world: made, parts } = world();
  await made.finish((await made.create(['x'], { webhook: url })).spec.id);
  const cancelled = (await made.create([askLine(0)], { webhook: url })).spec.id;
  await made.batches.cancel(tenant, cancelled);
  await made.finish(cancelled);
  await deliverDue(parts, signal);
  assert.deepEqual(received.map(({ body }) => JSON.parse(body).type).sort(), ['batch.cancelled', 'batch.failed']);
  made.mayEnd = () => false;
  const runner = made.runner(made.store, 'one', { pollMs: 2000 });
  await made.finish((await made.create([askLine(0)], { webhook: url, completionWindow: '10s' })).spec.id, runner);
  await deliverDue(parts, signal);
  assert.equal(JSON.parse(received.at(-1)!.body).type, 'batch.expired');
});

test('what is not heard is told again, later each time, under the same id, and given up after a day', async () => {
  const { world: made, parts, logged } = world();
  const { spec } = await made.create([askLine(0)], { webhook: url });
  await made.finish(spec.id);
  answers = [{ status: 500 }, { status: 404 }];
  assert.equal((await deliverDue(parts, signal)).heard, 0);
  assert.equal((await deliverDue(parts, signal)).heard, 0);
  assert.equal(received.length, 1, 'it was tried again at once');
  made.ms += pauseBefore(1);
  await deliverDue(parts, signal);
  made.ms += pauseBefore(1);
  await deliverDue(parts, signal);
  assert.equal(received.length, 2, 'the second pause is no longer than the first');
  answers = Array(100).fill({ status: 503 });
  for (let hours = 0; hours < 32; hours++) {
    made.ms += 3_600_000;
    await deliverDue(parts, signal);
  }
  assert.equal(new Set(received.map(({ headers }) => headers['webhook-id'])).size, 1);
  assert.ok(received.length >= 5 && received.length < 30, `${received.length} attempts`);
  assert.match(logged.at(-1) ?? '', /given up after a day/);
  assert.deepEqual(outbox(made), []);
});

test('every try counts by what came of it, also where the store goes away behind it', async () => {
  const { world: made, parts } = world();
  const delivered = async () =>
    (await recorded.of(metric.webhooks)).find(([of]) => of['longhaul.result'] === 'delivered')?.[1] ?? 0;
  const { spec } = await made.create([askLine(0)], { webhook: url });
  await made.finish(spec.id);
  const before = await delivered();
  const remove = made.store.delete.bind(made.store);
  made.store.delete = async () => {
    throw new RetryableFailure('store_unavailable', 'the store gave no answer');
  };
  await assert.rejects(deliverDue(parts, signal), /store gave no answer/);
  assert.deepEqual([received.length, await delivered()], [1, before + 1]);
  made.store.delete = remove;
  made.ms += 120_000;
  await deliverDue(parts, signal);
  assert.deepEqual([received.length, await delivered()], [2, before + 2]);
});

test('a redirect is not followed, and an address that is not public is not asked', async () => {
  const { world: made, parts, logged } = world();
  const { spec } = await made.create([askLine(0)], { webhook: url });
  await made.finish(spec.id);
  answers = [{ status: 302, headers: { location: url } }];
  await deliverDue(parts, signal);
  assert.equal(received.length, 1);
  assert.match(logged.at(-1) ?? '', /not heard.*(redirect|leads)/);
  made.ms += pauseBefore(1);
  await deliverDue({ ...parts, https: { ca: cert } }, signal);
  assert.equal(received.length, 1);
  assert.match(logged.at(-1) ?? '', /not a public address/);
  await assert.rejects(made.create([askLine(0)], { webhook: 'http://example.com/' }), {
    code: 'invalid_argument',
    message: /^webhook: /,
  });
});

test('no event is lost or told before its time, wherever its controller dies', async () => {
  const { world: made, parts } = world();
  let told = 0;
  for (let call = 20; call < 60; call++) {
    const { spec } = await made.create([askLine(0)], { webhook: url });
    const stop = new AbortController();
    const store = dyingStore(made.store, call, 'behind');
    const clock = {
      ...made.clock,
      sleep: async (ms: number, of: AbortSignal) => {
        if (store.calls >= call) stop.abort();
        await made.clock.sleep(ms, of);
      },
    };
    await runBatch({ ...made.runner(store), clock }, spec, stop.signal).catch(() => undefined);
    const ended = (await made.batches.get(tenant, spec.id)).head.status === 'completed';
    assert.equal((await deliverDue(parts, signal)).heard, ended ? 1 : 0, `killed behind call ${call}`);
    made.ms += 10_000;
    await made.finish(spec.id, made.runner(made.store, 'two'));
    assert.equal((await deliverDue(parts, signal)).heard, ended ? 0 : 1, `killed behind call ${call}`);
    told += 1;
    assert.equal(received.length, told);
  }
});
