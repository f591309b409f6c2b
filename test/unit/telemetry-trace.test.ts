import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JobSpec, limits, TraceParent } from '@longhaul/core/contracts';
import { createLedger } from '@longhaul/core/ledger';
import { MetricsAddress, parseTraceParent, traceParentOf } from '@longhaul/core/telemetry';
import { samplersOf } from '../../core/telemetry/sdk/sampler.ts';
import { parseOtelSettings } from '../../core/telemetry/sdk/settings.ts';
import { specOf } from '../support/ledger-job.ts';
import { MemoryStore } from '../support/memory-store.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';

test('a traceparent is taken as the standard says, and anything else is none', () => {
  const sampled = parseTraceParent(`00-${traceId}-${spanId}-01`);
  assert.deepEqual(sampled, { traceId, spanId, traceFlags: 1, isRemote: true });
  assert.equal(parseTraceParent(`00-${traceId}-${spanId}-00`)?.traceFlags, 0);
  // Flags that are not known are not passed on, and a later version is read as far as it is known.
  assert.equal(traceParentOf(parseTraceParent(`00-${traceId}-${spanId}-ff`)!), `00-${traceId}-${spanId}-01`);
  assert.equal(parseTraceParent(`cc-${traceId}-${spanId}-01-more`)?.traceId, traceId);
  for (const bad of [
    undefined,
    '',
    'x',
    `00-${traceId}-${spanId}-01-more`,
    `ff-${traceId}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}-01${' '.repeat(300)}`,
  ]) {
    assert.equal(parseTraceParent(bad), null, bad);
  }
  assert.ok(TraceParent.safeParse(`00-${traceId}-${spanId}-01`).success);
  assert.ok(!TraceParent.safeParse(`01-${traceId}-${spanId}-01`).success);
});

test('a spec of an earlier version has no trace, and one that comes again in another trace is the same job', async () => {
  const { trace: _, ...earlier } = JobSpec.parse(specOf());
  assert.equal(JobSpec.parse(earlier).trace, null);
  assert.ok(!JobSpec.safeParse({ ...earlier, trace: 'x'.repeat(limits.specBytes) }).success);
  const ledger = createLedger(new MemoryStore());
  assert.equal(await ledger.submit(specOf()), 'created');
  assert.equal(await ledger.submit({ ...specOf(), trace: `00-${traceId}-${spanId}-01` }), 'existing');
  assert.equal((await ledger.readSpec(specOf().jobId)).trace, null);
});

test('the address of the metrics is on the loopback unless another is said', () => {
  assert.deepEqual(MetricsAddress.parse('9464'), { host: '127.0.0.1', port: 9464 });
  assert.deepEqual(MetricsAddress.parse(':0'), { host: '127.0.0.1', port: 0 });
  assert.deepEqual(MetricsAddress.parse('0.0.0.0:9464'), { host: '0.0.0.0', port: 9464 });
  assert.deepEqual(MetricsAddress.parse('[::1]:9464'), { host: '::1', port: 9464 });
  for (const bad of ['', 'x', 'host', 'host:', '1.2.3.4:65536', '::1:9464', 'http://a:1', 'a b:1']) {
    assert.ok(!MetricsAddress.safeParse(bad).success, bad);
  }
});

test('the standard variables say where to and how much; one that cannot be used counts as none', () => {
  const base = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' };
  const plain = parseOtelSettings(base);
  assert.equal(plain.traces?.url, 'http://collector:4318/v1/traces');
  assert.equal(plain.metrics?.url, 'http://collector:4318/v1/metrics');
  const own = { ...base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t:1/x', OTEL_METRICS_EXPORTER: 'none' };
  assert.equal(parseOtelSettings(own).traces?.url, 'http://t:1/x');
  assert.equal(parseOtelSettings(own).metrics, null);
  assert.equal(parseOtelSettings({ ...base, OTEL_SDK_DISABLED: 'true' }).traces, null);
  assert.equal(parseOtelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'not an address' }).traces, null);
  const odd = { ...base, OTEL_BSP_SCHEDULE_DELAY: 'soon', OTEL_TRACES_SAMPLER: 'some', OTEL_TRACES_SAMPLER_ARG: '7' };
  assert.deepEqual(parseOtelSettings(odd).sampler, { name: 'parentbased_always_on', ratio: 1 });
  assert.equal(parseOtelSettings(odd).traces?.delayMs, plain.traces?.delayMs);
  const named = { ...base, OTEL_SERVICE_NAME: 'w', OTEL_RESOURCE_ATTRIBUTES: 'team=a%20b,zone=x' };
  assert.deepEqual(parseOtelSettings(named).resourceAttributes, { team: 'a b', zone: 'x' });
  assert.deepEqual(parseOtelSettings({ ...base, OTEL_RESOURCE_ATTRIBUTES: 'team' }).resourceAttributes, {});
});

test('a part of the traces is kept: the same ones by every process', () => {
  const { root } = samplersOf({ name: 'parentbased_traceidratio', ratio: 0.25 });
  const again = samplersOf({ name: 'traceidratio', ratio: 0.25 }).root;
  let kept = 0;
  for (let i = 0; i < 4000; i++) {
    const id = (i * 2_654_435_761).toString(16).padStart(32, `${i % 10}`);
    const { decision } = root.shouldSample({} as never, id, '', 0, {}, []);
    assert.equal(again.shouldSample({} as never, id, '', 0, {}, []).decision, decision);
    kept += decision === 0 ? 0 : 1;
  }
  assert.ok(kept > 0 && kept < 4000, `${kept} of 4000`);
});
