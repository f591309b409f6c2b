import { createGunzip, createZstdDecompress } from 'node:zlib';
import { type Compression, RejectedJob } from '@longhaul/core/contracts';

export type Container = Exclude<Compression, 'auto'>;

export function detectContainer(head: Uint8Array): Container {
  const [a, b, c, d] = head;
  if (a === 0x1f && b === 0x8b) return 'gzip';
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd';
  // A skippable frame, with which parallel compressors begin.
  if (a !== undefined && (a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18) return 'zstd';
  return 'none';
}

/** What people take for a text and is none, by its first bytes; null for everything else. */
export function detectPaper(head: Uint8Array): string | null {
  const mark = Buffer.from(head.subarray(0, 4)).toString('latin1');
  if (mark === '%PDF') return 'a PDF';
  if (mark === 'PK\x03\x04') return 'a ZIP archive (as DOCX and EPUB are)';
  return mark === '\xd0\xcf\x11\xe0' ? 'an Office file' : null;
}

/**
 * Inflates gzip (of any number of members) or zstd (of any number of frames) in memory that does not depend on size.
 * `corrupt_compression` with the compressed offset for damage, a truncated end, and bytes behind the end (zeros may
 * follow gzip).
 */
export async function* inflate(
  source: AsyncIterable<Uint8Array>,
  kind: Exclude<Container, 'none'>,
  name: string,
): AsyncGenerator<Uint8Array> {
  let stream: InflateStream | null = null;
  let offset = 0;
  let padding = false;
  const corrupt = (cause: unknown): RejectedJob =>
    new RejectedJob('corrupt_compression', `${name} is no sound ${kind} at about compressed byte ${offset}`, { cause });
  try {
    for await (const chunk of source) {
      let rest = chunk;
      while (rest.length > 0) {
        if (padding || (stream === null && kind === 'gzip' && offset > 0)) {
          if (rest.some((byte) => byte !== 0)) throw corrupt(new Error('bytes follow the end'));
          padding = true;
          offset += rest.length;
          break;
        }
        stream ??= new InflateStream(kind);
        const before = stream.consumed;
        try {
          yield* stream.write(rest);
        } catch (error) {
          throw corrupt(error);
        }
        const taken = stream.consumed - before;
        offset += taken;
        rest = rest.subarray(taken);
        // zlib's wrapper ends with a zstd frame when more bytes follow it in the same chunk; the next frame is theirs.
        if (stream.ended) {
          stream = null;
          if (before + taken === 0) throw corrupt(new Error('nothing begins here'));
        }
      }
    }
    if (stream !== null) {
      try {
        yield* stream.finish();
      } catch (error) {
        throw corrupt(error);
      }
    }
  } finally {
    stream?.destroy();
  }
}

/** A zlib stream one chunk at a time, which tells how much of the chunk it took. */
class InflateStream {
  readonly #zlib: ReturnType<typeof createGunzip>;
  #failure: unknown = null;
  #wake: () => void = () => {};
  ended = false;

  constructor(kind: Exclude<Container, 'none'>) {
    const options = { chunkSize: 64 * 1024 };
    this.#zlib = kind === 'gzip' ? createGunzip(options) : createZstdDecompress(options);
    this.#zlib.on('readable', () => this.#wake());
    this.#zlib.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    this.#zlib.on('error', (error) => {
      this.#failure = error;
      this.#wake();
    });
  }

  /** Compressed bytes taken so far. */
  get consumed(): number {
    return this.#zlib.bytesWritten;
  }

  async *write(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
    const before = this.consumed;
    let written = false;
    this.#zlib.write(chunk, () => {
      written = true;
      this.#wake();
    });
    // A chunk that is not wholly taken is one with an end in it, and the 'end' event comes later than the callback.
    yield* this.#drain(() => written && this.consumed === before + chunk.length);
  }

  async *finish(): AsyncGenerator<Uint8Array> {
    this.#zlib.end();
    yield* this.#drain(() => this.ended);
  }

  destroy(): void {
    this.#zlib.destroy();
  }

  async *#drain(done: () => boolean): AsyncGenerator<Uint8Array> {
    for (;;) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      for (let bytes = this.#zlib.read(); bytes !== null; bytes = this.#zlib.read()) yield bytes;
      if (this.#failure !== null) throw this.#failure;
      if (done() || this.ended) return;
      await woken;
    }
  }
}
