import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Abandoned,
  type AnswerRecord,
  type AskTask,
  limits,
  RetryableFailure,
  type Task,
} from '@longhaul/core/contracts';
import type { Engine } from '../../worker/ports.ts';
import { seedOf } from '../../worker/tasks/answer.ts';
import { ForkLimit } from '../../worker/tasks/fork-limit.ts';
import { type Asked, questionsFrom } from '../../worker/tasks/questions.ts';
import type { Document } from '../../worker/text/ports.ts';
import type { Worker } from '../../worker/worker.ts';
import { fakeEngine } from '../support/fake-engine.ts';
import { failsAtStep, TaskWorld } from '../support/task-world.ts';
import { greedySampling } from '../support/tasks.ts';

const book = 'It is a way I have of driving off the spleen and regulating the circulation. ';
const inline = (text: string) => ({ kind: 'inline', text }) as const;
const prompts = [
  'The captain',
  'Why is it that the white whale',
  'So',
  'A',
  'What was the harpoon made of, and by whom?',
];
const offline = () => new RetryableFailure('store_unavailable', 'the store gave no answer');

function asking(change: Partial<AskTask> = {}): AskTask {
  return {
    kind: 'ask',
    questions: {
      kind: 'inline',
      questions: prompts.map((prompt, i) => ({
        id: i === 1 ? 'whale' : null,
        prompt,
        maxNewTokens: i === 3 ? 5 : null,
      })),
    },
    maxNewTokens: 12,
    sampling: { ...greedySampling, seed: '7' },
    stop: [],
    logprobs: false,
    topLogprobs: 0,
    ...change,
  };
}

async function answersOf(world: TaskWorld, jobId: string): Promise<AnswerRecord[]> {
  return (await world.records(jobId)).map((record) => {
    assert.ok('index' in record);
    return record;
  });
}

/** Draws as a real engine does: by state, seed and position. */
function drawing(inner: Engine = fakeEngine()): Engine {
  return {
    ...inner,
    async step(session, tokens, want, phase) {
      const result = await inner.step(session, tokens, want, phase);
      if (result.kind !== 'sample' || want.kind !== 'sample') return result;
      const { seed, position } = want.sampling;
      return { ...result, token: 97 + ((result.token + Number(seed % 1009n) + 7 * position) % 26) };
    },
  };
}

test('each answer is what generate says from the same state, with the seed of its place; the document is read once', async () => {
  const world = new TaskWorld();
  await world.submit('job-asked', { task: asking(), document: inline(book), saveAs: 'book' });
  const result = await world.finish('job-asked', world.worker(drawing()));
  assert.deepEqual([result.status, result.finishReason], ['succeeded', 'answered']);
  assert.deepEqual(result.answers, { total: prompts.length, failed: 0 });
  const asked = prompts.join('').length;
  assert.equal(world.fed.prefill, book.length + asked, 'document + questions, not document × questions');
  const answers = await answersOf(world, 'job-asked');
  const outputTokens = answers.reduce((sum, { tokens }) => sum + tokens.length, 0);
  assert.deepEqual(result.usage, {
    inputTokens: book.length + asked,
    cachedTokens: 0,
    outputTokens,
    inputBytes: book.length,
  });
  assert.deepEqual(
    answers.map(({ index, id }) => [index, id]),
    [0, 1, 2, 3, 4].map((index) => [index, index === 1 ? 'whale' : null]),
  );
  for (const { index, text, tokens, promptTokens, finishReason } of answers) {
    const prompt = prompts[index]!;
    const task: Task = {
      kind: 'generate',
      prompt,
      maxNewTokens: index === 3 ? 5 : 12,
      sampling: { ...greedySampling, seed: String(seedOf('7', index)) },
      stop: [],
      topLogprobs: 0,
    };
    await world.submit(`job-alone-${index}`, { task, from: { name: 'book', version: 1 } });
    const alone = await world.finish(`job-alone-${index}`, world.worker(drawing()));
    assert.equal(text, alone.text, prompt);
    assert.deepEqual([tokens.length, promptTokens, finishReason], [alone.usage.outputTokens, prompt.length, 'length']);
  }
  // From the state, nothing is read but the questions.
  world.fed.prefill = 0;
  await world.submit('job-again', { task: asking(), from: { name: 'book', version: null } });
  const again = await world.finish('job-again', world.worker(drawing()));
  assert.equal(world.fed.prefill, asked);
  assert.equal(again.digests.output, result.digests.output);
  assert.deepEqual([again.usage.inputTokens, again.usage.cachedTokens], [asked, book.length]);
});

test('seeds of questions are those of the job and far apart, also across the end of 64 bits', () => {
  assert.equal(seedOf('7', 0), 7n);
  assert.equal(seedOf('18446744073709551615', 1), 0x9e37_79b9_7f4a_7c14n);
  assert.equal(new Set(Array.from({ length: 1000 }, (_, i) => seedOf('0', i))).size, 1000);
});

test('the answers are the same however many run at once, and the number that run is held', async () => {
  const digests = new Set<string>();
  for (const forks of [1, 2, 8]) {
    const world = new TaskWorld();
    let open = 0;
    let most = 0;
    const engine = fakeEngine({
      beforeStep: async (position) => {
        if (position < book.length) return;
        most = Math.max(most, ++open);
        await new Promise((resolve) => setImmediate(resolve));
        open--;
      },
    });
    await world.submit('job-asked', { task: asking(), document: inline(book) });
    const result = await world.finish('job-asked', world.worker(engine, { forks }));
    digests.add(result.digests.output);
    assert.ok(most <= forks && (forks === 1 || most > 1), `${most} at once, ${forks} allowed`);
  }
  assert.equal(digests.size, 1);
});

test('interrupted at any step, an ask ends with the bytes of an uninterrupted run', async () => {
  for (const stored of [false, true]) {
    const lines = prompts.map((prompt, i) => JSON.stringify({ custom_id: `q${i}`, prompt, max_new_tokens: 2 + i }));
    const prepare = async (world: TaskWorld) => {
      const task = stored ? asking({ questions: await world.putQuestions(lines) }) : asking();
      await world.submit('job-asked', { task, document: inline(book) });
    };
    const policy = { chunkTokens: 16, commitSeconds: 3600, commitTokens: 8 };
    const straight = new TaskWorld();
    await prepare(straight);
    const expected = await straight.finish('job-asked', straight.worker(fakeEngine(), { policy }));
    assert.ok(expected.stats.commits > 5, `${expected.stats.commits} commits: the test proves nothing`);
    for (let step = 1; step <= 60; step += 3) {
      const world = new TaskWorld();
      await prepare(world);
      await world.attempt('job-asked', world.worker(failsAtStep(step, offline), { policy }));
      const result = await world.finish('job-asked', world.worker(fakeEngine(), { policy }));
      assert.deepEqual(result.digests, expected.digests, `cut at step ${step}`);
      assert.deepEqual([result.usage, result.answers], [expected.usage, expected.answers], `cut at step ${step}`);
      assert.deepEqual(await world.records('job-asked'), await straight.records('job-asked'));
    }
  }
});

test('drained at any step, an ask commits what it has answered and is handed back', async () => {
  const straight = new TaskWorld();
  await straight.submit('job-asked', { task: asking(), document: inline(book) });
  const expected = await straight.finish('job-asked');
  let handedBack = 0;
  for (let step = 1; step <= 50; step += 4) {
    const world = new TaskWorld();
    await world.submit('job-asked', { task: asking(), document: inline(book) });
    let steps = 0;
    const engine = fakeEngine({
      beforeStep: () => {
        steps++;
        if (steps === step) draining.drain('SIGTERM');
      },
    });
    const draining: Worker = world.worker(engine);
    const end = await world.attempt('job-asked', draining);
    if (end.kind === 'hand-back') {
      handedBack++;
      const head = await world.ledger.readHead('job-asked');
      assert.deepEqual([head?.status, head?.stuckAttempts], ['queued', 0]);
      assert.ok(head!.seq > 0, 'handed back without a commit');
    }
    const result = await world.finish('job-asked');
    assert.deepEqual(result.digests, expected.digests, `drained at step ${step}`);
    assert.deepEqual(result.usage, expected.usage, `drained at step ${step}`);
  }
  assert.ok(handedBack > 5, `${handedBack} drains: the test proves nothing`);
});

test('an ask that is cancelled keeps the answers that it has, and counts what they cost', async () => {
  const world = new TaskWorld();
  const questions = Array.from({ length: 200 }, (_, i) => ({ id: null, prompt: `The ${i}`, maxNewTokens: 100 }));
  await world.submit('job-asked', {
    task: asking({ questions: { kind: 'inline', questions } }),
    document: inline(book),
  });
  let asked = false;
  const engine = fakeEngine({
    beforeStep: async () => {
      if (world.fed.decode < 300 || asked) return;
      asked = true;
      await world.ledger.requestCancel('job-asked');
    },
  });
  const slow: Engine = {
    ...engine,
    step: async (...args) => {
      if (asked) await new Promise((resolve) => setTimeout(resolve, 2));
      return await engine.step(...args);
    },
  };
  const result = await world.finish('job-asked', world.worker(slow, { forks: 1 }));
  assert.equal(result.status, 'cancelled');
  const answers = await answersOf(world, 'job-asked');
  assert.ok(answers.length >= 2 && answers.length < 200, `${answers.length} answers`);
  assert.deepEqual(result.answers, { total: answers.length, failed: 0 });
  const read = answers.reduce((sum, { promptTokens }) => sum + promptTokens, book.length);
  assert.equal(result.usage.inputTokens, read);
});

test('an ask whose lock is lost stops at once and says nothing more; its heir ends with the same bytes', async () => {
  const straight = new TaskWorld();
  await straight.submit('job-asked', { task: asking(), document: inline(book) });
  const expected = await straight.finish('job-asked');
  const world = new TaskWorld();
  await world.submit('job-asked', { task: asking(), document: inline(book) });
  const lost = new AbortController();
  let steps = 0;
  const engine = fakeEngine({
    beforeStep: () => {
      steps++;
      if (steps === 20) lost.abort(new Abandoned('lease_lost', 'the lock may be gone'));
    },
  });
  const end = await world.worker(engine).handle({ jobId: 'job-asked', signal: lost.signal });
  assert.deepEqual([end.kind, steps <= 24], ['abandon', true], `${steps} steps`);
  assert.equal(world.events.at(-1)?.kind === 'end', false);
  const result = await world.finish('job-asked');
  assert.deepEqual([result.digests, result.usage], [expected.digests, expected.usage]);
});

test('an ask past its deadline ends as expired, with the answers that it has', async () => {
  const world = new TaskWorld();
  const questions = Array.from({ length: 200 }, (_, i) => ({ id: null, prompt: `The ${i}`, maxNewTokens: 100 }));
  const expiresAt = new Date(Date.now() + 1500).toISOString();
  const task = asking({ questions: { kind: 'inline', questions } });
  await world.submit('job-asked', { task, document: inline(book), expiresAt });
  const engine = fakeEngine({ beforeStep: () => new Promise((resolve) => setTimeout(resolve, 2)) });
  const result = await world.finish('job-asked', world.worker(engine, { forks: 1 }));
  assert.deepEqual([result.status, result.failure?.code], ['expired', 'expired']);
  const answers = await answersOf(world, 'job-asked');
  assert.ok(answers.length > 0 && answers.length < 200, `${answers.length} answers`);
  assert.deepEqual(result.answers, { total: answers.length, failed: 0 });
});

test('stored questions are read as they are wanted, and entered where the last answer was committed', async () => {
  const lines = Array.from({ length: 10_000 }, (_, i) => `${JSON.stringify({ prompt: `q${i}` })}\n`);
  const body = Buffer.from(lines.join(''));
  let given = 0;
  const document: Document = {
    pin: { tag: 'sha256:questions', bytes: body.length },
    totalBytes: body.length,
    async *read(from) {
      for (let at = from; at < body.length; at += 1000) {
        given += 1;
        yield body.subarray(at, at + 1000);
      }
    },
  };
  const stored = { kind: 'stored', key: 'inputs/questions' } as const;
  const signal = new AbortController().signal;
  const whole = questionsFrom(stored, { index: 0, offset: 0 }, async () => document, signal);
  const first: Asked[] = [];
  for await (const one of whole) if (first.push(one) === 60) break;
  assert.ok(given < 3, `${given} pieces were read for 60 questions`);
  const { index, end } = first[41]!;
  const behind = questionsFrom(stored, { index: index + 1, offset: end }, async () => document, signal);
  const next = (await behind.next()).value;
  assert.deepEqual(next, first[42]);
  await behind.return(undefined);
  let count = 0;
  for await (const one of questionsFrom(stored, { index: 0, offset: 0 }, async () => document, signal)) {
    assert.ok('prompt' in one.question && one.question.prompt === `q${count}`);
    count++;
  }
  assert.equal(count, lines.length);
});

test('a line that is no question gets an error record in its place, and ends nothing else', async () => {
  const world = new TaskWorld();
  const lines = [
    JSON.stringify({ prompt: 'The captain' }),
    '{"prompt": ',
    JSON.stringify({ custom_id: 'x', prompt: '' }),
    '',
    JSON.stringify({ prompt: 'why?', temperature: 1 }),
    JSON.stringify({ prompt: 'why?', max_new_tokens: limits.answerTokens + 1 }),
    JSON.stringify({ prompt: 'x'.repeat(limits.inlineBytes + 1) }),
    'x'.repeat(limits.questionLineBytes + 1),
    JSON.stringify({ custom_id: 'last', prompt: 'So', max_new_tokens: null }),
  ];
  const task = asking({ questions: await world.putQuestions(lines), logprobs: true });
  const result = await world.run('job-asked', { task, document: inline(book) });
  assert.deepEqual(result.answers, { total: lines.length, failed: lines.length - 2 });
  const answers = await answersOf(world, 'job-asked');
  const expected = [
    null,
    /^line 2 is no JSON/,
    /^line 3: prompt: a question has at least one character$/,
    /^line 4 is no JSON/,
    /^line 5: .*"temperature"/,
    /^line 6: max_new_tokens: .*16384/,
    /^line 7: prompt: a question has at most 65536 bytes/,
    /^line 8 has more than 524288 bytes$/,
    null,
  ];
  for (const [i, message] of expected.entries()) {
    const { index, error, finishReason, tokens, logprobs } = answers[i]!;
    assert.equal(index, i);
    if (message === null) {
      assert.deepEqual([error, tokens.length, logprobs?.length], [null, 12, 12]);
      continue;
    }
    assert.deepEqual([error?.code, finishReason, tokens], ['invalid_argument', 'error', []]);
    assert.match(error!.message, message);
  }
  assert.equal(answers.at(-1)?.id, 'last');
});

test('bytes of a question that are no UTF-8 are told by line', async () => {
  const world = new TaskWorld();
  const { source } = await world.ledger.putInput(
    (async function* () {
      yield Buffer.concat([Buffer.from('{"prompt": "\xff"}\n', 'latin1'), Buffer.from('{"prompt": "So"}')]);
    })(),
  );
  await world.run('job-asked', { task: asking({ questions: source }), document: inline(book) });
  const [bad, good] = await answersOf(world, 'job-asked');
  assert.match(bad!.error!.message, /^line 1 is no UTF-8/);
  assert.equal(good!.error, null);
});

test('the live stream gets one event for each answer, in order', async () => {
  const world = new TaskWorld();
  await world.run('job-asked', { task: asking(), document: inline(book) });
  assert.deepEqual(
    world.events.map((event) => [event.kind, 'position' in event ? event.position : null]),
    [['begin', 0], ...prompts.map((_, i) => ['answer', i + 1]), ['end', null]],
  );
  const told = world.events.flatMap((event) => (event.kind === 'answer' ? [event.record] : []));
  assert.deepEqual(told, await answersOf(world, 'job-asked'));
});

test('a place for a fork is given in the order of asking; who leaves the line is passed over', async () => {
  const limit = new ForkLimit(1);
  const stay = new AbortController().signal;
  const leave = new AbortController();
  await limit.take(stay);
  const order: string[] = [];
  const leaving = limit.take(leave.signal).then(
    () => order.push('left'),
    () => order.push('gave up'),
  );
  const second = limit.take(stay).then(() => order.push('second'));
  leave.abort(new Error('no longer'));
  await leaving;
  limit.release();
  await second;
  assert.deepEqual(order, ['gave up', 'second']);
  limit.release();
  await limit.take(stay);
  await assert.rejects(limit.take(AbortSignal.abort(new Error('gone'))), /gone/);
});
