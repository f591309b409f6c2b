import { readFile } from 'node:fs/promises';
import { LonghaulError } from '@longhaul/core/contracts';
import { fingerprintModel } from '@longhaul/native';
import { z } from 'zod';
import { elsewhereOf, stoppable } from '../adapters/elsewhere.ts';
import { wholeModelDirectory } from '../adapters/model.ts';
import type { ProcessIo } from '../process.ts';
import { loadTokenizer } from '../text/index.ts';

/** What a state must match to be of a model; `longhaul states import` asks for it. */
export async function fingerprint(
  given: { readonly model: string; readonly digests?: string; readonly json?: boolean },
  io: ProcessIo,
): Promise<number> {
  const dir = await stoppable(io, (signal) => wholeModelDirectory(given.model, elsewhereOf(io.env, signal)));
  const known = given.digests === undefined ? null : await readDigests(given.digests);
  const tokenizer = await loadTokenizer(dir);
  const { digest, nLayer, dInner, dConv, dState } = await fingerprintModel(dir, known);
  const found = { digest, tokenizerDigest: tokenizer.digest, shape: { nLayer, dInner, dConv, dState } };
  io.stdout.write(
    given.json === true
      ? `${JSON.stringify(found)}\n`
      : `model      ${digest}\ntokenizer  ${tokenizer.digest}\nstate      n_layer ${nLayer}, d_inner ${dInner}, d_conv ${dConv}, d_state ${dState}\n`,
  );
  return 0;
}

const Digests = z.record(z.string().max(256), z.string().regex(/^[0-9a-f]{64}$/));

/** sha256 of weight files by name. */
async function readDigests(path: string): Promise<ReadonlyMap<string, string>> {
  try {
    return new Map(Object.entries(Digests.parse(JSON.parse(await readFile(path, 'utf8')))));
  } catch (cause) {
    throw new LonghaulError('invalid_argument', `--digests ${path} is not an object of sha256 by name`, { cause });
  }
}
