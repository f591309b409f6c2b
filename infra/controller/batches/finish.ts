import {
  BadLine,
  type BatchHead,
  type BatchStream,
  errorLine,
  type InputLine,
  LineSet,
  lineJobId,
  parseLine,
  type ResultLine,
  readLines,
  readWritten,
  resultLine,
} from '@longhaul/core/batches';
import { limits } from '@longhaul/core/contracts';
import { derivedFileId, type FileId } from '@longhaul/core/files';
import { announceEnd } from '../webhooks/announce.ts';
import { batchParts, type Hold } from './hold.ts';
import type { RunnerParts } from './parts.ts';

export type Outcome = NonNullable<BatchHead['outcome']>;

/** Jobs of lines in a row that were never made: behind them none was. */
const missingInRow = 64;
const looksAtOnce = 16;

/**
 * The first half of an end: which lines behind the cursor are done and not recorded is found once, and stands in the head. What the
 * files hold follows from the head alone then, whoever writes them.
 */
export async function beginFinish(parts: RunnerParts, hold: Hold, outcome: Outcome): Promise<void> {
  const nothing = { tail: '', completed: 0, failed: 0 };
  const { tail, completed, failed } = outcome === 'completed' ? nothing : await doneBehind(parts, hold);
  const at = parts.clock.date().toISOString();
  await hold.update((head) => {
    if (head.status === 'finalizing') return null;
    // The owner's cancel, which came while we looked, goes before a deadline.
    if (head.status === 'cancelling' && outcome !== 'cancelled') return null;
    const ended = { completed: head.output.lines + completed, failed: head.errors.lines + failed };
    return { ...head, status: 'finalizing', outcome, tail, ended, pauseReason: null, finalizingAt: at };
  });
}

async function doneBehind({ ledger }: RunnerParts, { spec, head }: Hold) {
  const first = head.cursor.line;
  const recorded = new LineSet(first, head.recorded);
  const tail = new LineSet(first);
  const found = { completed: 0, failed: 0 };
  let missing = 0;
  const last = Math.min(first + limits.batchAhead, head.total ?? 0);
  for (let from = first; from < last && missing < missingInRow; from += looksAtOnce) {
    const lines = Array.from({ length: Math.min(looksAtOnce, last - from) }, (_, i) => from + i);
    const heads = await Promise.all(
      lines.map((line) => (recorded.has(line) ? null : ledger.readHead(lineJobId(spec.tenant, spec.id, line)))),
    );
    for (const [i, job] of heads.entries()) {
      const line = lines[i]!;
      if (recorded.has(line)) missing = 0;
      else missing = job === null ? missing + 1 : 0;
      if (job?.status !== 'done' && job?.status !== 'quarantined') continue;
      tail.add(line);
      found[job.status === 'done' ? 'completed' : 'failed'] += 1;
    }
  }
  return { ...found, tail: tail.toString() };
}

/** The second half: the files, then the head that names them. May be done again from anywhere. */
export async function finish(parts: RunnerParts, hold: Hold): Promise<void> {
  const outputFileId = await putFile(parts, hold, 'output');
  const errorFileId = await putFile(parts, hold, 'errors');
  const now = parts.clock.date();
  if (hold.head.outcome !== null) await announceEnd(parts, hold.spec, hold.head, hold.head.outcome, now);
  const at = now.toISOString();
  await hold.update((head) => {
    if (head.status !== 'finalizing' || head.outcome === null) return null;
    const moment = { completed: 'completedAt', expired: 'expiredAt', cancelled: 'cancelledAt' } as const;
    return {
      ...head,
      status: head.outcome,
      outputFileId,
      errorFileId,
      [moment[head.outcome]]: at,
    };
  });
}

/** Null where there would be no line in it. */
async function putFile(parts: RunnerParts, hold: Hold, stream: BatchStream): Promise<FileId | null> {
  const { spec, head } = hold;
  const lines = linesOf(parts, hold, stream);
  const first = await lines.next();
  if (first.done === true) return null;
  const body = async function* () {
    yield first.value;
    yield* lines;
  };
  const id = derivedFileId(new Date(spec.createdAt), spec.tenant, spec.id, String(head.generation), stream);
  const filename = `${spec.id}_${stream === 'output' ? 'output' : 'error'}.jsonl`;
  const put = {
    tenant: spec.tenant,
    filename,
    purpose: 'batch_output',
    id,
    maxBytes: Number.MAX_SAFE_INTEGER,
  } as const;
  await parts.files.put({ ...put, body: body() });
  await lines.return();
  return id;
}

/** What is recorded, then what the end found: the tail, and the lines that were not run. */
async function* linesOf(parts: RunnerParts, hold: Hold, stream: BatchStream): AsyncGenerator<Uint8Array, void> {
  const { spec, head } = hold;
  for await (const chunk of readWritten(batchParts(parts), spec, head, stream)) {
    yield chunk;
    await hold.renew();
  }
  if (head.outcome === 'completed' || (stream === 'output' && head.tail === '')) return;
  const [recorded, tail] = [new LineSet(head.cursor.line, head.recorded), new LineSet(head.cursor.line, head.tail)];
  const { stream: input } = await parts.files.read(spec.tenant, spec.inputFileId, { from: head.cursor.offset });
  for await (const line of readLines(input, head.cursor)) {
    if (recorded.has(line.line)) continue;
    const wasRun = tail.has(line.line);
    if (!wasRun && stream === 'output') continue;
    const result = wasRun ? await resultOf(parts, hold, line) : notRun(hold, line);
    if (result?.stream !== stream) continue;
    yield new TextEncoder().encode(result.text);
    await hold.renew();
  }
}

async function resultOf({ ledger }: RunnerParts, { spec }: Hold, line: InputLine): Promise<ResultLine | null> {
  const jobId = lineJobId(spec.tenant, spec.id, line.line);
  const result = await ledger.readResult(jobId);
  if (result === null) return null;
  const { customId, plan } = parseLine(line, spec);
  return await resultLine(spec, customId, plan, result, () => ledger.readOutput(jobId, { skip: 0 }));
}

function notRun({ spec, head }: Hold, line: InputLine): ResultLine {
  const [code, message] =
    head.outcome === 'cancelled'
      ? ['batch_cancelled', 'the batch was cancelled before this line was done']
      : ['batch_expired', `the time of the batch ended at ${head.expiresAt}, before this line was done`];
  return errorLine(customIdOf(line, spec), lineJobId(spec.tenant, spec.id, line.line), { code, message });
}

function customIdOf(line: InputLine, spec: Hold['spec']): string | null {
  try {
    return parseLine(line, spec).customId;
  } catch (error) {
    if (error instanceof BadLine) return error.customId;
    throw error;
  }
}
