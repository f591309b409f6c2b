import assert from 'node:assert/strict';
import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ErrorCode } from '@longhaul/core/contracts';
import { Cluster, models } from '../support/cluster.ts';
import { assertSame, bookBytes, scoreTask, truth } from './shared.ts';

interface Case {
  readonly name: string;
  readonly change: (dir: string) => Promise<void>;
  readonly code: ErrorCode;
  /** What the message must say. */
  readonly says: RegExp;
}

interface TokenizerJson {
  added_tokens: { id: number; content: string }[];
}

async function editJson<T>(path: string, edit: (json: T) => void): Promise<void> {
  const json = JSON.parse(await readFile(path, 'utf8')) as T;
  edit(json);
  await writeFile(path, JSON.stringify(json));
}

const cases: readonly Case[] = [
  {
    name: 'more tokens in the tokenizer than in the vocabulary',
    change: (dir) =>
      editJson<TokenizerJson>(join(dir, 'tokenizer.json'), ({ added_tokens }) => {
        const last = added_tokens.at(-1)!;
        for (let id = last.id + 1; id < 300; id++) added_tokens.push({ ...last, id, content: `<|extra-${id}|>` });
      }),
    code: 'tokenizer_mismatch',
    says: /has 300 tokens, the model's vocabulary only 288/,
  },
  {
    name: 'another vocabulary size than the weights have',
    change: (dir) =>
      editJson<{ vocab_size: number }>(join(dir, 'config.json'), (config) => {
        config.vocab_size = 320;
      }),
    code: 'model_corrupt',
    says: /backbone\.embeddings\.weight.*320.*288/,
  },
  {
    name: 'no weights',
    change: (dir) => rm(join(dir, 'model.safetensors')),
    code: 'model_incomplete',
    says: /has neither model\.safetensors nor model\.safetensors\.index\.json/,
  },
  {
    name: 'weights cut off',
    change: (dir) => truncate(join(dir, 'model.safetensors'), 3_000_000),
    code: 'model_corrupt',
    says: /model\.safetensors: .*\d+/,
  },
  {
    name: 'no configuration',
    change: (dir) => rm(join(dir, 'config.json')),
    code: 'model_not_found',
    says: /has no config\.json/,
  },
  {
    name: 'no tokenizer',
    change: (dir) => rm(join(dir, 'tokenizer.json')),
    code: 'tokenizer_not_found',
    says: /tokenizer\.json does not exist/,
  },
  {
    name: 'a tokenizer cut off',
    change: (dir) => truncate(join(dir, 'tokenizer.json'), 2000),
    code: 'tokenizer_corrupt',
    says: /tokenizer\.json is not JSON/,
  },
  {
    name: 'no directory at all',
    change: (dir) => rm(dir, { recursive: true }),
    code: 'model_not_found',
    says: /no model directory/,
  },
];

test('a worker refuses a model directory that is not whole; the job waits for a worker that has one', async (t) => {
  const cluster = await Cluster.start({ model: models.tinyEnglish });
  t.after(() => cluster.close());
  const text = await bookBytes(10_000);
  const jobId = await cluster.submitText('waiting-job', text, scoreTask);
  for (const [i, { name, change, code, says }] of cases.entries()) {
    await t.test(`${name}: ${code}`, async () => {
      const dir = join(cluster.dir, `model-${i}`);
      await cp(models.tinyEnglish, dir, { recursive: true });
      await change(dir);
      const worker = cluster.launchWorker(`refusing-${i}`, { LONGHAUL_MODEL: dir });
      const line = await worker.says(`longhaul: ${code}: `);
      assert.match(line, says);
      assert.ok(line.includes(dir), line);
      await worker.stop('SIGCONT');
      assert.equal(worker.child.exitCode, 1);
      const head = await cluster.head(jobId, () => true);
      assert.deepEqual([head.status, head.epoch, head.stats.attempts], ['queued', 0, 0]);
    });
  }
  await cluster.startWorker('whole');
  const result = await cluster.result(jobId);
  await assertSame(cluster, jobId, result, await truth(cluster, models.tinyEnglish, text, scoreTask));
});
