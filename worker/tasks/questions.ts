import { limits, type Question, QuestionLine, type Questions } from '@longhaul/core/contracts';
import type { Document } from '../text/ports.ts';

/** A question in its place, or what is wrong with its line. */
export interface Asked {
  /** From 0. */
  readonly index: number;
  readonly question: Question | { readonly problem: string };
  /** Bytes of the stored questions up to the end of its line; 0 for inline ones. */
  readonly end: number;
}

/** Where a list of questions is entered: the first one wanted, and where its line begins. */
export interface QuestionPosition {
  readonly index: number;
  readonly offset: number;
}

/** The questions from a place on, in order. Memory does not grow with their number. */
export async function* questionsFrom(
  questions: Questions,
  from: QuestionPosition,
  open: () => Promise<Document>,
  signal: AbortSignal,
): AsyncGenerator<Asked> {
  if (questions.kind === 'inline') {
    for (const [i, question] of questions.questions.slice(from.index).entries()) {
      yield { index: from.index + i, question, end: 0 };
    }
    return;
  }
  let { index } = from;
  for await (const { bytes, end } of linesOf((await open()).read(from.offset, signal), from.offset)) {
    yield { index, question: readLine(bytes, index + 1), end };
    index++;
  }
}

interface Line {
  /** Null where it is longer than `limits.questionLineBytes`. */
  readonly bytes: Uint8Array | null;
  /** Offset behind its newline. */
  readonly end: number;
}

/** Splits at newlines; what stands behind the last one is a line where it is not empty. */
async function* linesOf(body: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Line> {
  let at = offset;
  let parts: Uint8Array[] = [];
  let length = 0;
  const add = (part: Uint8Array) => {
    length += part.length;
    at += part.length;
    if (length <= limits.questionLineBytes) parts.push(part);
    else parts = [];
  };
  const cut = (end: number): Line => {
    const bytes = length <= limits.questionLineBytes ? Buffer.concat(parts) : null;
    [parts, length] = [[], 0];
    return { bytes, end };
  };
  for await (const chunk of body) {
    let from = 0;
    for (let to = chunk.indexOf(newline); to >= 0; to = chunk.indexOf(newline, from)) {
      add(chunk.subarray(from, to));
      at++;
      from = to + 1;
      yield cut(at);
    }
    add(chunk.subarray(from));
  }
  if (length > 0) yield cut(at);
}

const newline = 10;

function readLine(bytes: Uint8Array | null, line: number): Asked['question'] {
  if (bytes === null) return { problem: `line ${line} has more than ${limits.questionLineBytes} bytes` };
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const what = error instanceof SyntaxError ? 'no JSON' : 'no UTF-8';
    return { problem: `line ${line} is ${what}: a question is {"custom_id": …, "prompt": …, "max_new_tokens": …}` };
  }
  const parsed = QuestionLine.safeParse(value);
  if (parsed.success) {
    const { custom_id, prompt, messages, max_new_tokens } = parsed.data;
    const asked = prompt ?? { messages: messages ?? [] };
    return { id: custom_id ?? null, prompt: asked, maxNewTokens: max_new_tokens ?? null };
  }
  const issue = parsed.error.issues[0]!;
  return { problem: `line ${line}: ${issue.path.join('.') || 'the whole'}: ${issue.message}` };
}
