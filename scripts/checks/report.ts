/** One check and what came of it. */
export interface Result {
  readonly check: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** What was looked at, in a few words, or why nothing was. */
  readonly note: string;
  /** Each says where, what was found, and what is to be there. */
  readonly faults: readonly string[];
}

export function judged(check: string, note: string, faults: readonly string[]): Result {
  return { check, outcome: faults.length === 0 ? 'passed' : 'failed', note, faults };
}

export function skipped(check: string, reason: string): Result {
  return { check, outcome: 'skipped', note: reason, faults: [] };
}

/** A check that throws has failed with what it threw. */
export async function checked(check: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    return judged(check, 'could not be done', [error instanceof Error ? error.message : String(error)]);
  }
}

export function render(results: readonly Result[]): string {
  const mark = { passed: 'ok     ', failed: 'FAILED ', skipped: 'skipped' } as const;
  const text = results.map(({ check, outcome, note, faults }) =>
    [`${mark[outcome]}  ${check}: ${note}`, ...faults.map((fault) => `           ${fault}`)].join('\n'),
  );
  const count = (outcome: Result['outcome']) => results.filter((result) => result.outcome === outcome).length;
  const tally = `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`;
  return `${[...text, tally].join('\n')}\n`;
}
