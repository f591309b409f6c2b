import type { Want } from '@longhaul/native';
import type { LoadedModel } from '../../../worker/adapters/model.ts';
import { Cluster } from '../../support/cluster.ts';
import { scoreTask } from '../../support/tasks.ts';
import { type Spread, spreadOf } from '../stats.ts';
import { chunkTokens, defaults } from './checkpointing.ts';
import { putDocument, tokensOf } from './document.ts';

export interface Pipeline {
  readonly tokens: number;
  /** Tokens a second of the worker, from taking a job to its end; and of the bare engine. */
  readonly worker: Spread;
  readonly bare: Spread;
  /** Of each pair of runs: worker over bare. */
  readonly kept: Spread;
  /** Of the worker's event loop, the longest of the runs. */
  readonly loopDelayP99Ms: number;
}

/** A real worker process on queue, store and stream beside `model.step` over the same tokens in the same chunks. */
export async function measurePipeline(
  dir: string,
  loaded: LoadedModel,
  text: Buffer,
  options: { readonly rounds: number; readonly threads: number; readonly weights: string },
): Promise<Pipeline> {
  const tokens = await tokensOf(loaded.tokenizer, text);
  const cluster = await Cluster.start({
    model: dir,
    env: {
      LONGHAUL_COMMIT_SECONDS: String(defaults.commitSeconds),
      LONGHAUL_COMMIT_TOKENS: String(defaults.commitTokens),
      LONGHAUL_CHUNK_TOKENS: String(chunkTokens),
      LONGHAUL_LOCK_MS: '90000',
      LONGHAUL_STALLED_MS: '30000',
      LONGHAUL_SLOTS: '4',
      LONGHAUL_THREADS: String(options.threads),
      LONGHAUL_WEIGHTS: options.weights,
    },
  });
  try {
    const worker = await cluster.startWorker('measured');
    const source = await putDocument(cluster.ledger, text);
    let loopDelayP99Ms = 0;
    const run = async (jobId: string): Promise<number> => {
      await cluster.submit(jobId, source, scoreTask, { compression: 'none', invalidUtf8: 'replace' });
      const result = await cluster.result(jobId, 3_600_000);
      if (result.usage.inputTokens !== tokens.length)
        throw new Error(`the worker read ${result.usage.inputTokens} tokens, the engine ${tokens.length}`);
      await worker.says(`"job":"${jobId}","loopDelay`);
      const lines = worker.lines.filter((line) => line.includes(`"job":"${jobId}"`)).map((line) => JSON.parse(line));
      const at = (message: string) => Date.parse(lines.find((line) => line.msg === message).time);
      loopDelayP99Ms = Math.max(loopDelayP99Ms, lines.find((line) => line.msg === 'attempt over').loopDelayP99Ms);
      return (1000 * tokens.length) / (at('job ended') - at('job taken'));
    };
    await run('warm-up-job');
    await bareRate(loaded, tokens);
    const [ours, bare, kept]: number[][] = [[], [], []];
    for (let round = 0; round < options.rounds; round++) {
      const pair = { worker: 0, bare: 0 };
      for (const side of round % 2 === 0 ? (['worker', 'bare'] as const) : (['bare', 'worker'] as const)) {
        pair[side] = side === 'worker' ? await run(`round-job-${round}`) : await bareRate(loaded, tokens);
      }
      ours!.push(pair.worker);
      bare!.push(pair.bare);
      kept!.push(pair.worker / pair.bare);
    }
    return {
      tokens: tokens.length,
      worker: spreadOf(ours!),
      bare: spreadOf(bare!),
      kept: spreadOf(kept!),
      loopDelayP99Ms,
    };
  } finally {
    await cluster.close();
  }
}

/** Tokens a second of the engine and nothing else: one call a chunk, wanting what the worker wants. */
async function bareRate({ model }: LoadedModel, tokens: Int32Array): Promise<number> {
  const session = model.openSession();
  const started = performance.now();
  for (let at = 0; at < tokens.length; at += chunkTokens) {
    const chunk = tokens.subarray(at, at + chunkTokens);
    const targets = new Int32Array(chunk.length).fill(-1);
    targets.set(tokens.subarray(at + 1, at + 1 + chunk.length));
    const want: Want = { kind: 'logprobs', targets, top: 0 };
    const [result] = await model.step([{ session, tokens: chunk, want }]);
    if (result!.kind !== 'logprobs') throw new Error(`the engine answered ${result!.kind}`);
  }
  const seconds = (performance.now() - started) / 1000;
  session.close();
  return tokens.length / seconds;
}
