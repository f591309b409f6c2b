import { limits } from '../contracts/limits.ts';

/** One line that is not blank. */
export interface InputLine {
  /** From 0, blank lines not counted. */
  readonly line: number;
  /** As an editor counts: from 1, blank lines too. */
  readonly lineNumber: number;
  /** Its first byte in the file, and that of the line behind it. */
  readonly offset: number;
  readonly next: number;
  /** Null where it is longer than `limits.batchLineBytes`. */
  readonly bytes: Uint8Array | null;
}

export interface LinePlace {
  readonly line: number;
  /** Lines before it, blank ones too. */
  readonly lineNumber: number;
  readonly offset: number;
}

const LF = 10;

/** The lines of a file whose bytes begin at `from`. Memory is bounded by one line, whatever the bytes are. */
export async function* readLines(body: AsyncIterable<Uint8Array>, from: LinePlace): AsyncGenerator<InputLine> {
  let { line, lineNumber, offset } = from;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let tooLong = false;
  const take = (piece: Uint8Array) => {
    heldBytes += piece.length;
    if (heldBytes > limits.batchLineBytes) {
      tooLong = true;
      held = [];
    } else held.push(piece);
  };
  const finish = (terminator: number): InputLine | null => {
    const bytes = tooLong ? null : held.length === 1 ? held[0]! : Buffer.concat(held);
    const next = offset + heldBytes + terminator;
    const found = { line, lineNumber: lineNumber + 1, offset, next, bytes };
    lineNumber += 1;
    offset = next;
    held = [];
    heldBytes = 0;
    tooLong = false;
    if (bytes !== null && isBlank(bytes)) return null;
    line += 1;
    return found;
  };
  for await (const chunk of body) {
    let at = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, at)) {
      take(chunk.subarray(at, end));
      at = end + 1;
      const found = finish(1);
      if (found !== null) yield found;
    }
    // A copy: the chunk's memory is its reader's.
    if (at < chunk.length) take(chunk.slice(at));
  }
  if (heldBytes > 0) {
    const found = finish(0);
    if (found !== null) yield found;
  }
}

/** Space, tab and carriage return alone. */
function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 32 || byte === 9 || byte === 13);
}
