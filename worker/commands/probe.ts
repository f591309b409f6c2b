import { describeError, errorCode } from '@longhaul/core/contracts';
import { probeEngine } from '@longhaul/native';
import { elsewhereOf, stoppable } from '../adapters/elsewhere.ts';
import { type LoadOptions, loadServedModel, type ModelArrival } from '../adapters/model.ts';
import type { ProcessIo } from '../process.ts';

/** What the engine finds on this machine, and whether a model loads; the engine's rows of `longhaul doctor`. */
export async function probe(
  given: { readonly model?: string; readonly json?: boolean },
  io: ProcessIo,
): Promise<number> {
  const engine = await probeEngine();
  const model = given.model === undefined ? null : await probeModel(given.model, io);
  const found = { engine, model };
  if (given.json) {
    io.stdout.write(`${JSON.stringify(found)}\n`);
  } else {
    io.stdout.write(
      `engine  ${engine.isa}, ${engine.cores} cores, ${engine.cpuModel ?? 'unknown CPU'}; cuda: ${engine.cuda}\n`,
    );
    if (model !== null) io.stdout.write(`model   ${model.ok ? model.summary : `${model.code}: ${model.message}`}\n`);
    if (model?.ok) io.stdout.write(`start   ${arrivalText(model.arrival)}\n`);
  }
  return model === null || model.ok ? 0 : 1;
}

/** As little as a model can be loaded with. */
const probed: LoadOptions = {
  ...{ device: 'auto', weights: 'as-stored', activations: 'matched', threads: null },
  ...{ chunkTokens: 16, slots: 1, forks: 1 },
};

async function probeModel(asked: string, io: ProcessIo) {
  try {
    const loaded = await stoppable(io, (signal) => loadServedModel(asked, probed, elsewhereOf(io.env, signal)));
    const { info } = loaded.model;
    loaded.model.close();
    const summary = `${info.modelType}, ${info.parameterCount} parameters, ${info.nLayer} layers, vocabulary ${info.vocabSize}, state ${info.stateBytes} bytes`;
    return {
      ok: true as const,
      summary,
      digest: info.digest,
      tokenizerDigest: loaded.tokenizer.digest,
      arrival: loaded.arrival,
    };
  } catch (error) {
    return { ok: false as const, code: errorCode(error), message: describeError(error) };
  }
}

function arrivalText({
  how,
  foundMs,
  fetchedMs,
  verifiedMs,
  loadedMs,
  bytes,
  gigabytesPerSecond,
}: ModelArrival): string {
  const size = bytes === null ? '' : `, ${bytes} bytes at ${gigabytesPerSecond} GB/s`;
  const [found, fetched, verified, loaded] = [foundMs, fetchedMs, verifiedMs, loadedMs].map(Math.round);
  return `${how}: found after ${found} ms, there after ${fetched}, verified after ${verified}, loaded after ${loaded}${size}`;
}
