import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type BatchObject, createBatches } from '@longhaul/core/batches';
import { Cluster, type ControllerProcess, models, waitFor } from '../support/cluster.ts';
import { runLonghaul } from '../support/command-line.ts';

let cluster: Cluster;
let controller: ControllerProcess;
let env: Record<string, string | undefined>;

const pace = { LONGHAUL_BATCH_SECONDS: '0.1', LONGHAUL_BATCH_LEASE_SECONDS: '2', LONGHAUL_BATCH_WINDOW: '8' };

before(async () => {
  cluster = await Cluster.start({ model: models.tinyEnglish });
  env = cluster.commandEnv;
  [controller] = await Promise.all([cluster.startController('one', pace), cluster.startWorker('reader')]);
});
after(() => cluster.close());

const longhaul = (...args: readonly string[]) => runLonghaul(args, { cwd: cluster.dir, env });
const shown = async (id: string): Promise<BatchObject> =>
  JSON.parse((await longhaul('batch', 'show', id, '--json')).out);
const batches = () => createBatches(cluster.store);

const line = (name: string, body: object = {}) => ({
  custom_id: name,
  method: 'POST',
  url: '/v1/completions',
  body: { model: 'test', prompt: `It was ${name}. The`, max_tokens: 4, temperature: 0, ...body },
});

async function put(name: string, lines: readonly unknown[]): Promise<void> {
  await writeFile(
    join(cluster.dir, name),
    lines.map((one) => `${typeof one === 'string' ? one : JSON.stringify(one)}\n`).join(''),
  );
}

const jsonLines = (text: string) => text.split('\n').flatMap((one) => (one === '' ? [] : [JSON.parse(one)]));

test('forty lines, some of which fail: answers in input order, errors by name, a killed controller in between', async () => {
  const asked = Array.from({ length: 40 }, (_, n) =>
    line(`day ${n}`, n % 13 === 5 ? { input_ref: 'file:///not/below/a/root.txt', prompt: 'So' } : {}),
  );
  await put('in.jsonl', asked);
  const running = longhaul('batch', 'in.jsonl', '--output', 'out.jsonl', '--idempotency-key', 'forty');
  const some = async () => {
    const { batches: all } = await batches().list('default', { limit: 1 });
    const head = all[0]?.head;
    return head !== undefined && head.output.lines >= 4 ? head : null;
  };
  await waitFor(some, 60_000, () => 'the batch has written nothing');
  controller.child.kill('SIGKILL');
  controller = await cluster.startController('two', pace);
  const { code, out, err } = await running;
  const id = out.trim();
  assert.equal(code, 1, err);
  assert.match(err, /^37 of 40 lines done, 3 failed$/m);
  const answers = jsonLines(await readFile(join(cluster.dir, 'out.jsonl'), 'utf8'));
  const good = asked.filter((_, n) => n % 13 !== 5).map(({ custom_id }) => custom_id);
  assert.deepEqual(
    answers.map((one) => one.custom_id),
    good,
  );
  for (const { response, error } of answers) {
    assert.equal(error, null);
    assert.deepEqual([response.status_code, response.body.object], [200, 'text_completion']);
    assert.equal(response.body.usage.completion_tokens, 4);
    assert.equal(response.body.choices[0].finish_reason, 'length');
    assert.ok(response.body.choices[0].text.length > 0);
  }
  const { out: failed } = await longhaul('batch', 'errors', id);
  assert.deepEqual(
    jsonLines(failed).map((one) => one.custom_id),
    ['day 5', 'day 18', 'day 31'],
  );
  for (const one of jsonLines(failed)) assert.match(one.error.code, /^source_/);
  const told = await shown(id);
  assert.deepEqual([told.status, told.request_counts], ['completed', { total: 40, completed: 37, failed: 3 }]);
  assert.ok(told.usage.output_tokens === 37 * 4 && told.usage.input_tokens > 37 * 4);

  const again = await longhaul('batch', 'in.jsonl', '--idempotency-key', 'forty');
  assert.deepEqual([again.code, again.out.trim()], [0, id]);
  await put('in.jsonl', asked.slice(1));
  const other = await longhaul('batch', 'in.jsonl', '--idempotency-key', 'forty');
  assert.match(other.err, /^longhaul: batch_exists: .*named other lines/);
});

test('wrong lines are told by their number, dry and for good, and nothing runs', async () => {
  await put('bad.jsonl', [line('a'), '{', line('a'), line('b', { temperature: -1 })]);
  const dry = await longhaul('batch', 'bad.jsonl', '--dry-run');
  assert.equal(dry.code, 1);
  assert.match(
    dry.err,
    /^line 2: this is not JSON.*\nline 3: custom_id "a" was given before.*\nline 4: temperature: /m,
  );
  assert.match(dry.out, /^4 lines, 3 complaints; nothing was submitted$/m);
  const { code, out, err } = await longhaul('batch', 'bad.jsonl', '--follow');
  assert.equal(code, 1, err);
  assert.match(err, /^failed\n/m);
  const told = await shown(out.trim());
  assert.equal(told.status, 'failed');
  assert.deepEqual(
    told.errors?.data.map(({ line }) => line),
    [2, 3, 4],
  );
});

test('a batch is paused, read, resumed, expires, is resumed, and is cancelled', async () => {
  const asked = Array.from({ length: 30 }, (_, n) => line(`hour ${n}`, { max_tokens: n < 4 ? 100 : 1500, seed: n }));
  await put('slow.jsonl', asked);
  const id = (await longhaul('batch', 'slow.jsonl', '--order', 'completion')).out.trim();
  await waitFor(
    async () => ((await batches().get('default', id)).head.output.lines >= 2 ? true : null),
    60_000,
    () => 'nothing is done',
  );
  assert.match((await longhaul('batch', 'pause', id)).out, /^status {4}paused$/m);
  const settled = async () => ((await batches().get('default', id)).head.runner === null ? true : null);
  await waitFor(settled, 60_000, () => 'the paused batch is held');
  const { output } = (await batches().get('default', id)).head;
  assert.ok(output.lines < 30);
  const partial = jsonLines((await longhaul('batch', 'output', id)).out);
  assert.equal(partial.length, output.lines);

  await longhaul('batch', 'resume', id, '--deadline', '1s');
  const status = (wanted: string) => async () =>
    (await batches().get('default', id)).head.status === wanted ? true : null;
  await waitFor(status('expired'), 60_000, () => 'the batch does not expire');
  const expired = await batches().get('default', id);
  const done = expired.head.ended?.completed ?? 0;
  assert.ok(done >= output.lines && done < 30, `${done} of 30 are done`);
  assert.equal(jsonLines((await longhaul('batch', 'output', id)).out).length, done);
  const left = jsonLines((await longhaul('batch', 'errors', id)).out);
  assert.deepEqual(new Set(left.map((one) => one.error.code)), new Set(['batch_expired']));
  assert.equal(left.length, 30 - done);

  const refused = await longhaul('batch', 'resume', id);
  assert.match(refused.err, /^longhaul: invalid_argument: completion_window: /);
  await longhaul('batch', 'resume', id, '--deadline', '1h');
  const grown = async () => ((await batches().get('default', id)).head.output.lines > done ? true : null);
  await waitFor(grown, 60_000, () => 'the resumed batch does nothing');
  assert.match((await longhaul('batch', 'cancel', id)).out, /^status {4}cancell/m);
  await waitFor(status('cancelled'), 60_000, () => 'the batch is not cancelled');
  const answers = jsonLines((await longhaul('batch', 'output', id)).out);
  const rest = jsonLines((await longhaul('batch', 'errors', id)).out);
  const names = [...answers, ...rest].map((one) => one.custom_id);
  assert.deepEqual([...names].sort(), asked.map(({ custom_id }) => custom_id).sort());
  for await (const open of cluster.ledger.listOpen({ limit: 10 }))
    assert.fail(`${open} is open behind the cancelled batch`);
  assert.match((await longhaul('batch', 'ls')).out, new RegExp(`^${id} +cancelled +30 `, 'm'));
});

test('words that are wrong are told before anything is sent', async () => {
  const wrong: [string[], RegExp][] = [
    [['batch'], /give a file of lines/],
    [['batch', 'none.jsonl'], /^longhaul: source_not_found: /],
    [['batch', 'in.jsonl', '--order', 'random'], /--order takes input or completion; found "random"/],
    [['batch', 'in.jsonl', '--deadline', 'soon'], /--deadline: .*found "soon"/],
    [['batch', 'in.jsonl', '--priority', 'x'], /--priority takes/],
    [['batch', 'in.jsonl', '--max-cost', '5'], /--max-cost needs the price/],
    [['batch', 'in.jsonl', '--max-cost', 'x', '--price', '1'], /--max-cost takes a number/],
    [['batch', 'show', 'batch_1'], /^longhaul: batch_not_found: there is no batch "batch_1"/],
    [['batch', 'ls', '--limit', '0'], /--limit takes/],
  ];
  const told = async ([args, message]: (typeof wrong)[number]) => {
    const { code, err, out } = await longhaul(...args);
    assert.match(err, message, args.join(' '));
    assert.equal(out, '', args.join(' '));
    assert.notEqual(code, 0);
  };
  const helped = async (name: string) =>
    assert.match((await longhaul('batch', name, '--help')).out, new RegExp(`^  longhaul batch ${name} ?`, 'm'));
  const commands = ['ls', 'show', 'cancel', 'pause', 'resume', 'output', 'errors'];
  await Promise.all([...wrong.map(told), ...commands.map(helped)]);
});
