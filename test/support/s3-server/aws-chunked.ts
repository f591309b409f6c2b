import { S3Error } from './errors.ts';

/** What checks the signature of each chunk and of the trailers; null for unsigned streams. */
export interface ChunkVerifier {
  data(part: Uint8Array): void;
  /** Ends a chunk (also the last one, of zero bytes) with the signature that its header line gave. */
  endChunk(signature: string | undefined): void;
  trailers(headers: ReadonlyMap<string, string>, signature: string | undefined): void;
}

/**
 * Decodes `aws-chunked`: `<hex size>[;chunk-signature=…]\r\n<bytes>\r\n … 0\r\n<trailer>:<value>\r\n … \r\n`.
 * Yields the payload; trailers, lower case, go into `trailers` before the last `next` returns.
 */
export async function* decodeAwsChunked(
  source: AsyncIterable<Buffer>,
  trailers: Map<string, string>,
  verifier: ChunkVerifier | null,
): AsyncGenerator<Buffer> {
  const input = new LineReader(source);
  for (;;) {
    const [size = '', ...extensions] = (await input.line()).split(';');
    if (!/^[0-9a-fA-F]{1,8}$/.test(size)) throw malformed(`chunk size '${size}'`);
    let left = Number.parseInt(size, 16);
    const last = left === 0;
    while (left > 0) {
      const part = await input.take(left);
      left -= part.length;
      verifier?.data(part);
      yield part;
    }
    const signature = extensions.find((e) => e.startsWith('chunk-signature='))?.slice('chunk-signature='.length);
    verifier?.endChunk(signature);
    if (last) break;
    if ((await input.line()) !== '') throw malformed('chunk without a closing line break');
  }
  let trailerSignature: string | undefined;
  for (let line = await input.line(); line !== ''; line = await input.line()) {
    const colon = line.indexOf(':');
    if (colon < 1)
      throw new S3Error(400, 'MalformedTrailerError', `The request contained a malformed trailer: ${line}`);
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === 'x-amz-trailer-signature') trailerSignature = value;
    else trailers.set(name, value);
  }
  if (trailers.size > 0) verifier?.trailers(trailers, trailerSignature);
  if (!(await input.ended())) throw malformed('bytes behind the last chunk');
}

const malformed = (what: string) => new S3Error(400, 'IncompleteBody', `The aws-chunked body is malformed: ${what}`);

/** Lines and counted bytes out of a stream of buffers, holding one buffer and at most one line. */
class LineReader {
  private readonly source: AsyncIterator<Buffer>;
  private held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.source = source[Symbol.asyncIterator]();
  }

  /** The next line without its CRLF. The body may end instead of the very last line break. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.held.indexOf('\r\n');
      if (end >= 0) {
        const line = this.held.toString('latin1', 0, end);
        this.held = this.held.subarray(end + 2);
        return line;
      }
      if (this.held.length > 8192) throw malformed('line of more than 8192 bytes');
      const next = await this.source.next();
      if (next.done === true) {
        if (this.held.length > 0) throw malformed('it ends within a line');
        return '';
      }
      this.held = this.held.length === 0 ? next.value : Buffer.concat([this.held, next.value]);
    }
  }

  /** At least one and at most `limit` bytes. */
  async take(limit: number): Promise<Buffer> {
    while (this.held.length === 0) {
      const next = await this.source.next();
      if (next.done === true) throw malformed(`it ends ${limit} bytes short of its chunk`);
      this.held = next.value;
    }
    const part = this.held.subarray(0, limit);
    this.held = this.held.subarray(part.length);
    return part;
  }

  async ended(): Promise<boolean> {
    return this.held.length === 0 && (await this.source.next()).done === true;
  }
}
