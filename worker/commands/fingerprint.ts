import { fingerprintModel } from '@longhaul/native';
import { modelDirectory } from '../adapters/model.ts';
import type { ProcessIo } from '../process.ts';
import { loadTokenizer } from '../text/index.ts';

/** What a state must match to be of a model; `longhaul states import` asks for it. */
export async function fingerprint(
  given: { readonly model: string; readonly json?: boolean },
  io: ProcessIo,
): Promise<number> {
  const dir = await modelDirectory(given.model);
  const tokenizer = await loadTokenizer(dir);
  const { digest, nLayer, dInner, dConv, dState } = await fingerprintModel(dir);
  const found = { digest, tokenizerDigest: tokenizer.digest, shape: { nLayer, dInner, dConv, dState } };
  io.stdout.write(
    given.json === true
      ? `${JSON.stringify(found)}\n`
      : `model      ${digest}\ntokenizer  ${tokenizer.digest}\nstate      n_layer ${nLayer}, d_inner ${dInner}, d_conv ${dConv}, d_state ${dState}\n`,
  );
  return 0;
}
