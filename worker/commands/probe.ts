import { describeError, errorCode } from '@longhaul/core/contracts';
import { loadModel, probeEngine } from '@longhaul/native';
import { modelDirectory } from '../adapters/model.ts';
import type { ProcessIo } from '../process.ts';
import { loadTokenizer } from '../text/index.ts';

/** What the engine finds on this machine, and whether a model loads; the engine's rows of `longhaul doctor`. */
export async function probe(
  given: { readonly model?: string; readonly json?: boolean },
  io: ProcessIo,
): Promise<number> {
  const engine = await probeEngine();
  const model = given.model === undefined ? null : await probeModel(given.model);
  const found = { engine, model };
  if (given.json) {
    io.stdout.write(`${JSON.stringify(found)}\n`);
  } else {
    io.stdout.write(
      `engine  ${engine.isa}, ${engine.cores} cores, ${engine.cpuModel ?? 'unknown CPU'}; cuda: ${engine.cuda}\n`,
    );
    if (model !== null) io.stdout.write(`model   ${model.ok ? model.summary : `${model.code}: ${model.message}`}\n`);
  }
  return model === null || model.ok ? 0 : 1;
}

async function probeModel(asked: string) {
  try {
    const dir = await modelDirectory(asked);
    const tokenizer = await loadTokenizer(dir);
    const model = await loadModel(dir, {
      device: 'auto',
      weights: 'as-stored',
      activations: 'matched',
      threads: null,
      slots: null,
    });
    const { info } = model;
    model.close();
    const summary = `${info.modelType}, ${info.parameterCount} parameters, ${info.nLayer} layers, vocabulary ${info.vocabSize}, state ${info.stateBytes} bytes`;
    return { ok: true as const, summary, digest: info.digest, tokenizerDigest: tokenizer.digest };
  } catch (error) {
    return { ok: false as const, code: errorCode(error), message: describeError(error) };
  }
}
