import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type GenerateTask,
  RetryableFailure,
  type ScoreRecord,
  type ScoreTask,
  systemClock,
} from '@longhaul/core/contracts';
import { loadModel } from '@longhaul/native';
import { engineOf } from '../../worker/engine/engine.ts';
import type { Engine } from '../../worker/ports.ts';
import { loadTokenizer } from '../../worker/text/index.ts';
import { models } from '../support/cluster.ts';
import { TaskWorld } from '../support/task-world.ts';
import { greedySampling } from '../support/tasks.ts';

const options = { device: 'cpu', weights: 'as-stored', activations: 'matched', threads: 1, slots: null } as const;
const policy = { chunkTokens: 16, commitSeconds: 3600, commitTokens: 16 };
const text = 'Call me Ishmael. Some years ago — never mind how long précisément 🐋 — I went to sea. '.repeat(3);
const task: ScoreTask = { kind: 'score', segmentTokens: 2048, detail: 'text', topLogprobs: 1 };

/** Fails before the `n`-th step, once. */
function cutAt(engine: Engine, n: number): Engine {
  let steps = 0;
  return {
    ...engine,
    step: async (...args) => {
      steps++;
      if (steps === n) throw new RetryableFailure('store_unavailable', 'the store gave no answer');
      return await engine.step(...args);
    },
  };
}

test('what lm-evaluation-harness asks is one job that reads the prompt once: tokens, texts, log-probabilities, the next one', async (t) => {
  const model = await loadModel(models.tinyEnglish, options);
  t.after(() => model.close());
  const tokenizer = await loadTokenizer(models.tinyEnglish);
  const engine = engineOf(model, { budgetTokens: 256, clock: systemClock });
  const world = new TaskWorld();
  const tokens = [...(await tokenizer.encode(text))];
  assert.ok(tokens.length > 60, `${tokens.length} tokens`);
  const linesOf = async (jobId: string) => (await world.records(jobId)) as ScoreRecord[];
  const parts = { tokenizer, policy };

  await world.submit('job-listed', { task, document: { kind: 'tokens', tokens } });
  const listed = await world.finish('job-listed', world.worker(engine, parts));
  assert.equal(listed.status, 'succeeded', JSON.stringify(listed.failure));
  const lines = await linesOf('job-listed');
  const last = lines.at(-1)!;
  assert.deepEqual([lines[0]!.first!.token, ...lines.flatMap((line) => line.tokens!)], tokens);
  assert.equal(lines[0]!.first!.text + lines.flatMap((line) => line.texts!).join(''), text);
  assert.equal(world.fed.prefill, tokens.length);

  await t.test(
    'the greedy flag holds by equality of floats, and where it does the token is the likeliest',
    async () => {
      const session = model.openSession();
      t.after(() => session.close());
      const [result] = await model.step([
        { session, tokens: Int32Array.from(tokens), want: { kind: 'logits', positions: 'all' } },
      ]);
      assert.ok(result?.kind === 'logits');
      const { vocabSize } = model.info;
      const likeliest = (t: number) => {
        const row = result.logits.subarray(t * vocabSize, (t + 1) * vocabSize);
        return row.indexOf(Math.max(...row));
      };
      let greedy = 0;
      const logprobs = lines.flatMap((line) => line.logprobs!);
      const top = lines.flatMap((line) => line.top!);
      for (const [i, logprob] of logprobs.entries()) {
        const [id, most, piece] = top[i]![0]!;
        assert.deepEqual([id, piece], [likeliest(i), tokenizer.textOf(id)]);
        assert.equal(logprob === most, tokens[i + 1] === id, `token ${i + 1}`);
        if (logprob === most) greedy++;
      }
      assert.ok(greedy > 0 && greedy < logprobs.length, `${greedy} greedy tokens of ${logprobs.length}`);
      assert.equal(last.next!.token, likeliest(tokens.length - 1));
      assert.deepEqual(last.next!.top, [[last.next!.token, last.next!.logprob, tokenizer.textOf(last.next!.token)]]);
    },
  );

  await t.test('the next token is the one that generate begins with, with the same log-probability', async () => {
    const generate: GenerateTask = {
      kind: 'generate',
      prompt: null,
      maxNewTokens: 1,
      sampling: greedySampling,
      stop: [],
      topLogprobs: 1,
    };
    await world.submit('job-generate', { task: generate, document: { kind: 'inline', text } });
    await world.finish('job-generate', world.worker(engine, parts));
    const [record] = await world.records('job-generate');
    assert.ok(record !== undefined && 'position' in record);
    const { token, logprob, text: piece, top } = record;
    assert.deepEqual(last.next, { token, logprob, text: piece, top });
  });

  await t.test('interrupted before any step, it says the same bytes', async () => {
    const steps = Math.ceil(tokens.length / policy.chunkTokens);
    for (let n = 2; n <= steps; n++) {
      const jobId = `job-cut-${n}`;
      await world.submit(jobId, { task, document: { kind: 'inline', text } });
      await world.attempt(jobId, world.worker(cutAt(engine, n), parts));
      assert.equal(await world.ledger.readResult(jobId), null);
      const cut = await world.finish(jobId, world.worker(engine, parts));
      assert.deepEqual([cut.digests, cut.score], [listed.digests, listed.score], `cut before step ${n}`);
    }
  });
});

test('the likeliest tokens of generate and ask come with their texts', async (t) => {
  const model = await loadModel(models.tinyEnglish, options);
  t.after(() => model.close());
  const tokenizer = await loadTokenizer(models.tinyEnglish);
  const engine = engineOf(model, { budgetTokens: 256, clock: systemClock });
  const world = new TaskWorld();
  const drawn = { maxNewTokens: 4, sampling: greedySampling, stop: [], topLogprobs: 3 };
  const document = { kind: 'inline', text } as const;
  const questions = { kind: 'inline', questions: [{ id: null, prompt: 'The whale', maxNewTokens: null }] } as const;
  await world.submit('job-told', { task: { kind: 'generate', prompt: 'The whale', ...drawn }, document });
  await world.submit('job-asked', {
    task: { kind: 'ask', logprobs: true, ...drawn, questions: { ...questions, questions: [...questions.questions] } },
    document,
  });
  for (const jobId of ['job-told', 'job-asked']) await world.finish(jobId, world.worker(engine, { tokenizer, policy }));
  const told = (await world.records('job-told')).map((record) => ('position' in record ? record.top! : assert.fail()));
  const [answer] = await world.records('job-asked');
  assert.ok(answer !== undefined && 'index' in answer);
  assert.deepEqual(answer.top, told);
  for (const [token, , piece] of told.flat()) assert.equal(piece, tokenizer.textOf(token));
});
