import type { Prompt, Task } from '@longhaul/core/contracts';

/** Tokens as the model's own tokenizer counts them. */
export interface CountedTokens {
  /** Null where nothing is read but prompts. */
  readonly document: { readonly tokens: number; readonly bytes: number } | null;
  /** Of the prompt, or of each question, in their order; each is tokenized on its own. */
  readonly prompts: readonly number[];
}

export interface Work {
  /** Exact, but for the marks of a chat: BOS, document, prompt and questions. What came with a state is not read again. */
  readonly readTokens: number;
  /** At most: a text may end earlier. */
  readonly writeTokens: number;
}

export function workOf(task: Task, addBos: boolean, { document, prompts }: CountedTokens): Work {
  const prompted = prompts.reduce((sum, tokens) => sum + tokens, 0);
  return {
    readTokens: (addBos ? 1 : 0) + (document?.tokens ?? 0) + prompted,
    writeTokens: mostWritten(task, 0) ?? 0,
  };
}

/** Tokens that are written at most behind the first `done` records of output; null where stored questions hide it. */
export function mostWritten(task: Task, done: number): number | null {
  if (task.kind === 'generate') return Math.max(0, task.maxNewTokens - done);
  if (task.kind !== 'ask') return 0;
  if (task.questions.kind === 'stored') return null;
  const left = task.questions.questions.slice(done);
  return left.reduce((sum, { maxNewTokens }) => sum + (maxNewTokens ?? task.maxNewTokens), 0);
}

/**
 * Texts that are read behind the document, each tokenized on its own. Stored questions are not among them, and a chat is told
 * without the marks of its template.
 */
export function promptsOf(task: Task): readonly string[] {
  if (task.kind === 'generate') return task.prompt === null || task.prompt === '' ? [] : [textOf(task.prompt)];
  if (task.kind !== 'ask' || task.questions.kind === 'stored') return [];
  return task.questions.questions.map(({ prompt }) => textOf(prompt));
}

function textOf(prompt: Prompt): string {
  return typeof prompt === 'string' ? prompt : prompt.messages.map(({ content }) => content).join('\n');
}
