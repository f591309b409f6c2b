import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { RejectedJob } from '../contracts/errors.ts';
import type { SegmentRun } from '../contracts/head.ts';
import { limits } from '../contracts/limits.ts';
import { OutputRecord } from '../contracts/output.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** The frame carries a digest of its content, so that damage anywhere is seen when it is opened. */
const withChecksum = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };

/** A commit may carry tens of thousands of records: the event loop gets a turn after so many. */
const RECORDS_A_TURN = 1000;

/** As many as the head's schema takes: each takeover that wrote output costs one. */
const MAX_RUNS = 512;

/** The chain over no records. */
export const EMPTY_CHAIN = createHash('sha256').digest('hex');

/** One record as its canonical line: fixed key order, shortest numbers (they read back to the same f64; -0 to 0), no newline; nothing of what was not asked for. */
export function recordLine(record: OutputRecord): string {
  if ('position' in record) {
    const { position, token, logprob, text, top } = record;
    return JSON.stringify({ position, token, logprob, text, top });
  }
  if ('index' in record) {
    const { index, id, text, promptTokens, tokens, finishReason, logprobs, top, error } = record;
    const said = error === null ? null : { code: error.code, message: error.message };
    return JSON.stringify({ index, id, text, promptTokens, tokens, finishReason, logprobs, top, error: said });
  }
  const { from, to, scored, nats, logprobs, top, tokens, texts } = record;
  const first = record.first && { token: record.first.token, text: record.first.text };
  const next = record.next && {
    token: record.next.token,
    text: record.next.text,
    logprob: record.next.logprob,
    top: record.next.top,
  };
  return JSON.stringify({ from, to, scored, nats, logprobs, top, tokens, texts, first, next });
}

/**
 * d₀ = sha256(''), dᵢ₊₁ = sha256(dᵢ ‖ lineᵢ): depends on the records and their order alone, so that a run that was
 * interrupted and one that was not can be compared, however commits cut them.
 */
export function extendChain(chain: string, lines: readonly string[]): string {
  let digest = Buffer.from(chain, 'hex');
  for (const line of lines) digest = createHash('sha256').update(digest).update(line).digest();
  return digest.toString('hex');
}

/** `extendChain`, a turn of the event loop now and then. */
export async function extendChainInTurns(chain: string, lines: readonly string[]): Promise<string> {
  let digest = chain;
  for await (const from of turns(lines.length)) digest = extendChain(digest, lines.slice(from, from + RECORDS_A_TURN));
  return digest;
}

/** 0, 1000, 2000 … below `length`. */
async function* turns(length: number): AsyncGenerator<number> {
  for (let from = 0; from < length; from += RECORDS_A_TURN) {
    if (from > 0) await turn();
    yield from;
  }
}

export interface EncodedSegment {
  readonly bytes: Uint8Array;
  readonly lines: readonly string[];
}

/** Records → JSONL → zstd. A record that the contract refuses (a NaN, say) is `object_corrupt` before it is written. */
export async function encodeSegment(key: string, records: readonly OutputRecord[]): Promise<EncodedSegment> {
  const lines: string[] = [];
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const from of turns(records.length)) {
    const part = records.slice(from, from + RECORDS_A_TURN).map((record, i) => {
      const parsed = OutputRecord.safeParse(record);
      if (!parsed.success) throw corrupt(key, `record ${from + i}: ${issueOf(parsed.error)}`);
      return recordLine(parsed.data);
    });
    lines.push(...part);
    const text = Buffer.from(part.map((line) => `${line}\n`).join(''));
    parts.push(text);
    bytes += text.length;
  }
  if (bytes > limits.segmentBytes) {
    throw new RejectedJob('object_too_large', `${key} would hold ${bytes} bytes; at most ${limits.segmentBytes}`);
  }
  return { bytes: await compress(Buffer.concat(parts), withChecksum), lines };
}

export interface DecodedSegment {
  readonly lines: readonly string[];
  readonly records: readonly OutputRecord[];
}

/** Memory is bounded by `limits.segmentBytes` whatever the bytes claim. Anything unexpected is `object_corrupt`. */
export async function decodeSegment(key: string, bytes: Uint8Array): Promise<DecodedSegment> {
  let text: string;
  try {
    const plain = await decompress(bytes, { maxOutputLength: limits.segmentBytes });
    text = new TextDecoder('utf-8', { fatal: true }).decode(plain);
  } catch (error) {
    throw corrupt(key, `it does not decompress to UTF-8 of at most ${limits.segmentBytes} bytes`, error);
  }
  if (!text.endsWith('\n')) throw corrupt(key, 'its last line is cut off');
  const lines = text.slice(0, -1).split('\n');
  const records = lines.map((line, i) => {
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch (error) {
      throw corrupt(key, `line ${i + 1} is not JSON`, error);
    }
    const parsed = OutputRecord.safeParse(json);
    if (!parsed.success) throw corrupt(key, `line ${i + 1}: ${issueOf(parsed.error)}`);
    return parsed.data;
  });
  return { lines, records };
}

/** The runs with the segment of commit `seq` under `epoch` at their end. */
export function appendSegment(key: string, runs: readonly SegmentRun[], seq: number, epoch: number): SegmentRun[] {
  const last = runs.at(-1);
  if (last !== undefined && last.epoch === epoch && last.toSeq === seq - 1) {
    return [...runs.slice(0, -1), { ...last, toSeq: seq }];
  }
  if (runs.length >= MAX_RUNS) {
    throw new RejectedJob(
      'object_too_large',
      `${key} lists ${runs.length} runs of segments, the limit: output was interrupted too often`,
    );
  }
  return [...runs, { fromSeq: seq, toSeq: seq, epoch }];
}

function corrupt(key: string, what: string, cause?: unknown): RejectedJob {
  return new RejectedJob('object_corrupt', `${key}: ${what}`, cause === undefined ? {} : { cause });
}

function issueOf(error: { readonly issues: readonly { path: PropertyKey[]; message: string }[] }): string {
  const issue = error.issues[0]!;
  return `${issue.path.join('.') || 'it'}: ${issue.message}`;
}
