import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Collector, faultsOfCollector } from '../../infra/telemetry/check/collector.ts';
import { faultsOf } from '../../infra/telemetry/check/dashboards.ts';
import { unknownIn } from '../../infra/telemetry/check/expressions.ts';
import { readYaml } from '../../infra/telemetry/check/files.ts';
import { silentAbout } from '../../infra/telemetry/check/leaving.ts';
import { knownSeries } from '../../infra/telemetry/check/names.ts';
import { readPromql } from '../../infra/telemetry/check/promql.ts';

test('what an expression asks for is found wherever PromQL lets it stand', () => {
  const metrics = (promql: string) => readPromql(promql).selectors.map(({ metric }) => metric);
  assert.deepEqual(metrics('sum(rate(a_total[5m])) by (x) / ignoring (y) group_left (z) sum by (x) (b)'), [
    'a_total',
    'b',
  ]);
  assert.deepEqual(metrics('histogram_quantile(0.99, sum by (le) (rate(h_bucket{m=~"a|b"}[1h:5m] offset 1d)))'), [
    'h_bucket',
  ]);
  assert.deepEqual(metrics('{__name__=~"a|b",m="x"} or vector(1) * 1e6 > bool inf'), ['a', 'b']);
  assert.deepEqual(metrics('absent(up{job="} sum(c)"} == 1) unless on (job) rule:a:sum'), ['up', 'rule:a:sum']);
  assert.deepEqual(readPromql('sum by (x, le) (a{p="1", q!~"(2)"}) and on (z) b').grouping, ['x', 'le', 'z']);
  assert.deepEqual(readPromql('a{p="1", q!~"x,y=z"}').selectors, [
    {
      metric: 'a',
      matchers: [
        { label: 'p', value: '1' },
        { label: 'q', value: 'x,y=z' },
      ],
    },
  ]);
});

test('a metric, a label or a group that nobody records is named', () => {
  const known = knownSeries(['model:longhaul_slots:sum']);
  assert.deepEqual(
    unknownIn('sum by (longhaul_model) (rate(longhaul_tokens_read_total{job="longhaul-worker"}[5m]))', known),
    [],
  );
  assert.deepEqual(unknownIn('model:longhaul_slots:sum{longhaul_model="m"} > 0', known), []);
  assert.deepEqual(unknownIn('longhaul_tokens_read', known), ['no process records longhaul_tokens_read']);
  assert.deepEqual(unknownIn('longhaul_slots{model="m"}', known), ['longhaul_slots has no label model']);
  assert.deepEqual(unknownIn('sum by (le) (longhaul_slots)', known), ['groups by le, which none of its metrics has']);
  assert.deepEqual(unknownIn('sum by (le) (longhaul_commit_duration_bucket)', known), []);
  const placed = (place: string) => unknownIn(`longhaul_queue_jobs{longhaul_place=~"${place}"}`, known);
  assert.deepEqual(placed('waiting|orphaned'), []);
  assert.deepEqual(placed('.*'), []);
  assert.deepEqual(placed('waiting|orphan'), ['longhaul_queue_jobs: longhaul_place is never orphan']);
});

test('who asks for what a worker records as it leaves, and does not say how that arrives, is found', () => {
  const asked = (promql: string, words: string) => silentAbout([{ where: 'x', promql, words }]);
  const found = ['x asks for longhaul_flush_duration, and does not say that it arrives "by OTLP alone"'];
  assert.deepEqual(asked('rate(longhaul_flush_duration_bucket[5m])', 'How long?'), found);
  assert.deepEqual(asked('rate(longhaul_flush_duration_bucket[5m])', 'How long? It is told by OTLP alone.'), []);
  assert.equal(asked('longhaul_preemptions_total + longhaul_slots', 'Who tells?').length, 1);
  assert.deepEqual(asked('longhaul_slots', 'How many?'), []);
});

test('no metric has a label whose values are without bound', () => {
  for (const [name, labels] of knownSeries([])) {
    for (const label of ['longhaul_job_id', 'longhaul_tenant', 'longhaul_batch_id', 'longhaul_worker']) {
      assert.ok(!labels.includes(label), `${name} has the label ${label}`);
    }
  }
});

const panel = (id: number, title: string, x: number) => ({
  id,
  type: 'stat' as const,
  title,
  description: 'How many?',
  gridPos: { x, y: 1, w: 6, h: 4 },
  targets: [],
});
const dashboard = (panels: ReturnType<typeof panel>[]) => ({
  uid: 'longhaul-test',
  title: 'test',
  schemaVersion: 39 as const,
  templating: { list: [{ name: 'model', type: 'query' as const }] },
  panels,
});

test('panels of one id, one place or no question, and variables that are not there, are found', () => {
  const faults = (panels: ReturnType<typeof panel>[], text = '"$model"') => faultsOf(dashboard(panels), text);
  assert.deepEqual(faults([panel(1, 'a', 0), panel(2, 'b', 6)]), []);
  assert.deepEqual(faults([panel(1, 'a', 0), panel(1, 'b', 6)]), ['panel id 1 twice']);
  assert.deepEqual(faults([panel(1, 'a', 0), panel(2, 'a', 6)]), ['panel  / a twice']);
  assert.deepEqual(faults([panel(1, 'a', 0), panel(2, 'b', 5)]), ['"a" and "b" lie on one another']);
  assert.deepEqual(faults([panel(1, 'a', 20)]), ['"a" ends at column 26 of 24']);
  assert.deepEqual(faults([{ ...panel(1, 'a', 0), description: '' }]), ['"a" does not say what it answers']);
  assert.deepEqual(faults([], '"$modle $__range"'), ['$modle is no variable', 'the variable model is not used']);
});

test('a pipeline of the collector that is not whole is found', async () => {
  const good = (await readYaml('infra/telemetry/collector.yaml')) as Collector;
  assert.deepEqual(faultsOfCollector(good), []);
  const bad = structuredClone(good);
  bad.service.pipelines.traces.exporters = ['otlp/tempo'];
  bad.service.pipelines.metrics.processors = ['batch', 'memory_limiter'];
  bad.service.extensions = [];
  assert.deepEqual(faultsOfCollector(bad), [
    'processors: transform/names is in no pipeline',
    'pipeline traces: there is no otlp/tempo among the exporters',
    'exporters: otlp_http/traces is in no pipeline',
    'pipeline metrics: memory_limiter is to be the first processor',
    'pipeline metrics: batch is to be the last processor',
    'the extension health_check is not started',
  ]);
});
