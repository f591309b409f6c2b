import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, genAi, http, metric, prometheusName, spanName } from '@longhaul/core/telemetry';
import * as stable from '@opentelemetry/semantic-conventions';
import * as developing from '@opentelemetry/semantic-conventions/incubating';

test('names of the semantic conventions are theirs', () => {
  const ours = [
    ...Object.values(genAi),
    ...Object.values(http),
    ...Object.values(metric)
      .map(({ name }) => name)
      .filter((name) => !name.startsWith('longhaul.')),
  ];
  const theirs = new Set([stable, developing].flatMap((names: object): unknown[] => Object.values(names)));
  assert.deepEqual(
    ours.filter((name) => !theirs.has(name)),
    [],
  );
});

test('every name of ours begins with longhaul., and is given once', () => {
  const names = [...Object.values(spanName), ...Object.values(attribute)];
  assert.deepEqual(
    names.filter((name) => !/^longhaul\.[a-z_.]+$/.test(name)),
    [],
  );
  const all = [...Object.values(metric).map(({ name }) => name), ...Object.values(attribute)];
  assert.equal(new Set(all).size, all.length);
});

test('a histogram has buckets that grow, and nothing else has any', () => {
  for (const { name, kind, buckets } of Object.values(metric)) {
    assert.equal(kind === 'histogram', buckets !== null, name);
    assert.deepEqual(
      [...(buckets ?? [])].sort((a, b) => a - b),
      buckets ?? [],
      name,
    );
  }
});

test('names on /metrics are words of Prometheus', () => {
  assert.equal(prometheusName(metric.tokensRead), 'longhaul_tokens_read_total');
  assert.equal(prometheusName(metric.commitSeconds), 'longhaul_commit_duration');
  assert.equal(prometheusName(metric.genAiFirstTokenSeconds), 'gen_ai_server_time_to_first_token');
});
