import { setImmediate as turn } from 'node:timers/promises';
import { limits } from '../contracts/limits.ts';
import type { BatchLineError } from './batch.ts';
import { IdSet } from './id-set.ts';
import { BadLine, type LineContext, parseLine } from './line.ts';
import { readLines } from './lines.ts';

/** What a reading of the whole input found, before anything runs. */
export interface Validation {
  /** Lines that are not blank. */
  readonly total: number;
  /** The first ones. */
  readonly errors: readonly BatchLineError[];
  readonly errorCount: number;
}

const LINES_A_TURN = 500;

/**
 * Reads every line once. Memory: one line, 22 to 43 bytes a line for the names, and the first errors.
 * `onLines` is told now and then how many lines were read.
 */
export async function validateBatch(
  body: AsyncIterable<Uint8Array>,
  batch: LineContext,
  options: { readonly signal?: AbortSignal; readonly onLines?: (lines: number) => void } = {},
): Promise<Validation> {
  const names = new IdSet();
  const errors: BatchLineError[] = [];
  let errorCount = 0;
  let total = 0;
  const complain = (error: BatchLineError) => {
    errorCount += 1;
    if (errors.length < limits.batchLineErrors) errors.push(error);
  };
  for await (const line of readLines(body, { line: 0, lineNumber: 0, offset: 0 })) {
    total += 1;
    if (total > limits.batchLines) {
      complain({
        line: line.lineNumber,
        code: 'too_many_lines',
        message: `a batch has at most ${limits.batchLines} lines`,
        param: null,
      });
      break;
    }
    try {
      const { customId } = parseLine(line, batch);
      if (!names.add(customId)) complain(duplicate(line.lineNumber, customId));
    } catch (error) {
      if (!(error instanceof BadLine)) throw error;
      complain(error.told);
      if (error.customId !== null && !names.add(error.customId)) complain(duplicate(line.lineNumber, error.customId));
    }
    if (total % LINES_A_TURN !== 0) continue;
    options.onLines?.(total);
    options.signal?.throwIfAborted();
    await turn();
  }
  if (total === 0)
    complain({ line: null, code: 'empty_file', message: 'the file has no line that asks for anything', param: null });
  return { total, errors, errorCount };
}

function duplicate(line: number, customId: string): BatchLineError {
  const shown = JSON.stringify(customId.length > 120 ? `${customId.slice(0, 117)}…` : customId);
  return {
    line,
    code: 'duplicate_custom_id',
    message: `custom_id ${shown} was given before: each line has its own`,
    param: 'custom_id',
  };
}
