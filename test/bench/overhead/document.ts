import { createHash } from 'node:crypto';
import type { Ledger } from '@longhaul/core/ledger';
import { mobyDick } from '../../../scripts/demo/book.ts';
import type { LoadedModel } from '../../../worker/adapters/model.ts';

/** The first `bytes` of a real book, repeated where it is too short. */
export async function bookOf(bytes: number): Promise<Buffer> {
  const book = await mobyDick();
  const text = Buffer.allocUnsafe(bytes);
  for (let at = 0; at < bytes; at += book.length) book.copy(text, at, 0, bytes - at);
  return text;
}

/** All tokens of a text, by the streaming tokenizer. */
export async function tokensOf(tokenizer: LoadedModel['tokenizer'], text: Buffer): Promise<Int32Array> {
  const pin = { tag: `sha256:${createHash('sha256').update(text).digest('hex')}`, bytes: text.length };
  async function* read(from: number) {
    yield text.subarray(from);
  }
  const stream = tokenizer.openStream({ pin, totalBytes: text.length, read }, null, { invalidUtf8: 'replace' });
  const tokens = await stream.read(text.length + 1, AbortSignal.timeout(600_000));
  await stream.close();
  return tokens;
}

export async function putDocument(ledger: Ledger, text: Buffer) {
  async function* body() {
    yield text;
  }
  return (await ledger.putInput(body())).source;
}
