import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Compression, InvalidUtf8 } from '@longhaul/core/contracts';
import { createLedger, openConfiguredStore, type S3Settings } from '@longhaul/core/ledger';
import { z } from 'zod';
import { modelDirectory } from '../adapters/model.ts';
import type { ProcessIo } from '../process.ts';
import { loadTokenizer, openDocument } from '../text/index.ts';
import { localSource } from './local-source.ts';
import { parseOptions } from './parse-options.ts';

const TokensOptions = z.looseObject({
  text: z.string().optional(),
  tokenizer: z.string(),
  ids: z.boolean().optional(),
  /** Texts that are counted too, each on its own, as prompts are read. */
  also: z.array(z.string()).default([]),
  json: z.boolean().optional(),
  compression: Compression.default('auto'),
  invalidUtf8: InvalidUtf8.default('error'),
});

/** Tokens of one read: a few hundred KiB of text, so memory does not grow with the document. */
const readTokens = 65_536;

/** Streams a document through the tokenizer: counts its tokens, or lists them as one JSON array. */
export async function tokens(
  file: string | undefined,
  given: Readonly<Record<string, unknown>>,
  s3: S3Settings,
  io: ProcessIo,
): Promise<number> {
  const options = parseOptions(TokensOptions, given);
  const document = await localSource(file, options.text);
  const dir = await mkdtemp(join(tmpdir(), 'longhaul-tokens-'));
  const store = await openConfiguredStore(pathToFileURL(dir).href, s3);
  const stop = new AbortController();
  const unlisten = io.onStop((signal) => stop.abort(new Error(signal)));
  try {
    const tokenizer = await loadTokenizer(await modelDirectory(options.tokenizer));
    const source = document.kind === 'stdin' ? (await createLedger(store).putInput(io.stdin)).source : document.source;
    const opened = await openDocument(source, {
      store,
      openBucket: (bucket) => openConfiguredStore(`s3://${bucket}`, s3),
      fileRoots: ['/'],
      compression: options.compression,
      pin: null,
      signal: stop.signal,
    });
    const stream = tokenizer.openStream(opened, null, { invalidUtf8: options.invalidUtf8 });
    let count = 0;
    let shownAt = Date.now();
    for (;;) {
      const ids = await stream.read(readTokens, stop.signal);
      if (ids.length === 0) break;
      if (options.ids) await write(io.stdout, `${count === 0 ? '[' : ','}${ids.join(',')}`);
      count += ids.length;
      if (Date.now() - shownAt > 5000) {
        shownAt = Date.now();
        io.stderr.write(`${count} tokens, ${stream.cursor().byteOffset} bytes\n`);
      }
    }
    const bytes = stream.cursor().byteOffset;
    await stream.close();
    const also: number[] = [];
    for (const text of options.also) also.push((await tokenizer.encode(text)).length);
    if (options.ids) await write(io.stdout, count === 0 ? '[]\n' : ']\n');
    else if (options.json)
      await write(io.stdout, `${JSON.stringify({ tokens: count, bytes, tokenizer: tokenizer.digest, also })}\n`);
    else {
      await write(io.stdout, `${count} tokens, ${bytes} bytes\n`);
      for (const tokens of also) await write(io.stdout, `${tokens} tokens\n`);
    }
    return 0;
  } finally {
    unlisten();
    await store.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function write(out: NodeJS.WriteStream, text: string): Promise<void> {
  if (!out.write(text)) await new Promise<void>((resolve) => out.once('drain', resolve));
}
