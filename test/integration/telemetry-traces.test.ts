import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLedger } from '@longhaul/core/ledger';
import {
  activeTraceParent,
  attribute,
  inAttempt,
  inTrace,
  parseTraceParent,
  spanName,
  startTelemetry,
  type Telemetry,
  tellJobEnd,
} from '@longhaul/core/telemetry';
import { askLine, BatchWorld } from '../support/batch-world.ts';
import { commitOf, completion, leaseOf, specOf } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../support/otlp-receiver.ts';

let collector: OtlpReceiver;
let telemetry: Telemetry;

before(async () => {
  collector = await startOtlpReceiver();
  telemetry = await startTelemetry({
    env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`, OTEL_BSP_SCHEDULE_DELAY: '20' },
    service: 'longhaul-controller',
    instance: 'test',
    address: null,
    ready: () => true,
    log: (_level, message, fields) => assert.fail(`${message} ${JSON.stringify(fields)}`),
  });
});
after(async () => {
  await telemetry?.shutdown();
  await collector?.close();
});

const callerOf = (letter: string, flags: string) => `00-${letter.repeat(32)}-${letter.repeat(16)}-${flags}`;
const spansOf = (jobId: string) => collector.spans.filter(({ attributes }) => attributes[attribute.jobId] === jobId);

test('each line of a batch is a trace of its own, which names the trace that the batch was made in', async () => {
  const world = new BatchWorld();
  const caller = parseTraceParent(callerOf('b', '01'));
  const { spec } = await inTrace(caller, () => world.create([askLine(0), askLine(1), askLine(2)]));
  assert.equal(spec.trace, callerOf('b', '01'));
  await world.finish(spec.id);
  const traces = await Promise.all(world.ran.map(async (jobId) => (await world.ledger.readSpec(jobId)).trace));
  assert.equal(new Set(traces.map((trace) => parseTraceParent(trace!)?.traceId)).size, 3);
  const spans = await collector.spansThat(
    (all) => all.filter(({ attributes }) => attributes[attribute.batchId] === spec.id).length === 3,
    'three submits',
  );
  for (const span of spans.filter(({ attributes }) => attributes[attribute.batchId] === spec.id)) {
    assert.equal(span.name, spanName.submit);
    assert.equal(span.parentSpanId, null);
    assert.deepEqual(span.links, ['b'.repeat(32)]);
  }
});

test('a job whose maker told no trace has one all the same, the same for every process that works on it', async () => {
  const store = new MemoryStore();
  const spec = specOf({ jobId: 'job-untraced' });
  await createLedger(store).submit(spec);
  const first = leaseOf(await createLedger(store).acquire(spec.jobId, 'one'));
  await inAttempt(spec, first.head, async () => void (await first.commit(commitOf(first, 8, 0))));
  // The first one says nothing any more: the second finds it lost.
  const second = leaseOf(await createLedger(store).acquire(spec.jobId, 'two'));
  await inAttempt(spec, second.head, async () => void (await second.complete(completion)));
  tellJobEnd(spec, second.head);
  await collector.spansThat(() => spansOf(spec.jobId).some(({ name }) => name === spanName.job), 'the job');
  const spans = spansOf(spec.jobId);
  assert.equal(new Set(spans.map(({ traceId }) => traceId)).size, 1);
  const job = spans.find(({ name }) => name === spanName.job);
  assert.equal(job?.parentSpanId, null);
  assert.ok(spans.every((span) => span === job || span.parentSpanId === job?.spanId));
  const lost = spans.filter(({ attributes }) => attributes[attribute.lost] === true);
  assert.equal(lost.length, 1);
  // Told by its own worker, which was only slow, and by the one that took it for lost: one id.
  const attempts = spans.filter(
    ({ name, attributes }) => name === spanName.attempt && attributes[attribute.epoch] === 1,
  );
  assert.equal(new Set(attempts.map(({ spanId }) => spanId)).size, 1);
});

test('a caller that keeps no trace of its request gets none told', async () => {
  const spec = specOf({ jobId: 'job-not-kept', trace: callerOf('e', '00') });
  const store = new MemoryStore();
  await createLedger(store).submit(spec);
  const lease = leaseOf(await createLedger(store).acquire(spec.jobId, 'one'));
  const active = await inAttempt(spec, lease.head, async () => activeTraceParent());
  // It is passed on, and says so.
  assert.match(active ?? '', /^00-e{32}-[0-9a-f]{16}-00$/);
  const kept = specOf({ jobId: 'job-kept-behind', trace: callerOf('f', '01') });
  await createLedger(store).submit(kept);
  const behind = leaseOf(await createLedger(store).acquire(kept.jobId, 'one'));
  await inAttempt(kept, behind.head, async () => {});
  await collector.spansThat(() => spansOf(kept.jobId).some(({ name }) => name === spanName.attempt), 'the next job');
  assert.deepEqual(spansOf(spec.jobId), []);
});
