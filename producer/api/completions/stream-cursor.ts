/** How far a reader of a stream is with one choice. */
export interface ChoiceCursor {
  /** It has what comes before the first token: the role of a chat message, the echo. */
  readonly begun: boolean;
  /** Output records that it has. */
  readonly position: number;
  readonly finished: boolean;
}

const beginning: ChoiceCursor = { begun: false, position: 0, finished: false };

/**
 * `id:` of a completion's events: one part a choice, joined by dots. `n` has nothing yet, `12` has 12 records, `12f` has the
 * finish reason too.
 */
export function formatCursor(choices: readonly ChoiceCursor[]): string {
  return choices.map(({ begun, position, finished }) => (begun ? `${position}${finished ? 'f' : ''}` : 'n')).join('.');
}

/** Null for what is no id of a stream of so many choices. */
export function parseCursor(text: string | null, choices: number): ChoiceCursor[] | null {
  if (text === null) return Array.from({ length: choices }, () => beginning);
  const parts = text.split('.');
  if (parts.length !== choices) return null;
  const parsed = parts.map((part): ChoiceCursor | null => {
    if (part === 'n') return beginning;
    const found = /^(\d{1,12})(f?)$/.exec(part);
    return found === null ? null : { begun: true, position: Number(found[1]), finished: found[2] === 'f' };
  });
  return parsed.every((cursor) => cursor !== null) ? parsed : null;
}
