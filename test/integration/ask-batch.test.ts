import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AskTask, systemClock } from '@longhaul/core/contracts';
import { loadModel, type Model } from '@longhaul/native';
import { mobyDick } from '../../scripts/demo/book.ts';
import { engineOf } from '../../worker/engine/engine.ts';
import { loadTokenizer } from '../../worker/text/index.ts';
import { models } from '../support/cluster.ts';
import { TaskWorld } from '../support/task-world.ts';
import { greedySampling } from '../support/tasks.ts';

const prompts = Array.from({ length: 24 }, (_, i) => `\n\nThe ${i + 1}. of them said`);
const task: AskTask = {
  kind: 'ask',
  questions: {
    kind: 'inline',
    questions: prompts.map((prompt) => ({ id: null, prompt, maxNewTokens: null })),
  },
  maxNewTokens: 12,
  sampling: { ...greedySampling, temperature: 0.9, seed: '3' },
  stop: [],
  logprobs: true,
  topLogprobs: 0,
};

test('on the real engine the document is read once, the questions share its steps, and their answers do not know', async (t) => {
  const options = { device: 'cpu', weights: 'as-stored', activations: 'matched', threads: 1, slots: null } as const;
  const model = await loadModel(models.tinyEnglish, options);
  t.after(() => model.close());
  const tokenizer = await loadTokenizer(models.tinyEnglish);
  const text = (await mobyDick()).toString('utf8').slice(30_000, 33_000);
  const document = { kind: 'inline', text } as const;
  const documentTokens = (await tokenizer.encode(text)).length;
  const asked = (await Promise.all(prompts.map((prompt) => tokenizer.encode(prompt)))).reduce(
    (n, p) => n + p.length,
    0,
  );
  const digests = new Set<string>();
  for (const forks of [1, 8]) {
    let tokens = 0;
    let most = 0;
    const counted: Model = {
      info: model.info,
      openSession: () => model.openSession(),
      restoreSession: (snapshot) => model.restoreSession(snapshot),
      step: (items) => {
        most = Math.max(most, items.length);
        tokens += items.reduce((sum, item) => sum + item.tokens.length, 0);
        return model.step(items);
      },
      close: () => {},
    };
    const world = new TaskWorld();
    const engine = engineOf(counted, { budgetTokens: 256, clock: systemClock });
    const policy = { chunkTokens: 256, commitSeconds: 3600, commitTokens: 65_536 };
    await world.submit('job-asked', { task, document });
    const result = await world.finish('job-asked', world.worker(engine, { tokenizer, forks, policy }));
    assert.equal(result.status, 'succeeded', JSON.stringify(result.failure));
    const { inputTokens, outputTokens } = result.usage;
    assert.equal(inputTokens, documentTokens + asked);
    // The last token of an answer is written, not read.
    assert.equal(tokens, documentTokens + asked + outputTokens - prompts.length);
    assert.equal(most, forks, `${most} sessions in one step, ${forks} allowed`);
    digests.add(result.digests.output);
  }
  assert.equal(digests.size, 1);
});
