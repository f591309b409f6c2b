/** A label that is matched, and with what, as it stands between the quotes. */
export interface Matcher {
  readonly label: string;
  readonly value: string;
}

/** What an expression asks for: names of metrics with what is matched on each, and labels that it groups by. */
export interface Asked {
  readonly selectors: readonly { readonly metric: string; readonly matchers: readonly Matcher[] }[];
  /** Of `by`, `without`, `on`, `ignoring`, `group_left`, `group_right`. */
  readonly grouping: readonly string[];
}

const groupers = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);
const words = new Set(['and', 'or', 'unless', 'offset', 'bool', 'inf', 'nan', 'start', 'end', 'atan2', ...groupers]);
const token = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|\[[^\]]*\]|[a-zA-Z_:][\w:]*|\d[\w.]*|[^\s\w]/g;

/**
 * Reads an expression that Prometheus has accepted: nothing is refused here. A selector by name alone
 * (`{__name__=~"a|b"}`) gives the names that it lists.
 */
export function readPromql(expression: string): Asked {
  const tokens: readonly string[] = expression.match(token) ?? [];
  const selectors: { metric: string; matchers: readonly Matcher[] }[] = [];
  const grouping: string[] = [];
  for (let i = 0; i < tokens.length; i += 1) {
    const word = tokens[i]!;
    if (groupers.has(word.toLowerCase()) && tokens[i + 1] === '(') {
      const end = tokens.indexOf(')', i);
      grouping.push(...tokens.slice(i + 2, end).filter(isName));
      i = end;
    } else if (word === '{') {
      const { matchers, end } = readMatchers(tokens, i);
      const named = matchers.find(({ label }) => label === '__name__');
      const others = matchers.filter((matcher) => matcher !== named);
      for (const metric of named?.value.split('|') ?? []) selectors.push({ metric, matchers: others });
      i = end;
    } else if (isName(word) && !words.has(word.toLowerCase()) && !isCalled(tokens[i + 1])) {
      const { matchers, end } = tokens[i + 1] === '{' ? readMatchers(tokens, i + 1) : { matchers: [], end: i };
      selectors.push({ metric: word, matchers });
      i = end;
    }
  }
  return { selectors, grouping };
}

/** A function's arguments follow, or what an aggregation groups by. */
const isCalled = (next = '') => next === '(' || next === 'by' || next === 'without';

const isName = (text: string) => /^[a-zA-Z_:]/.test(text);

/** From the opening brace at `start` to the closing one. */
function readMatchers(tokens: readonly string[], start: number) {
  const matchers: Matcher[] = [];
  let end = start;
  for (; end < tokens.length && tokens[end] !== '}'; end += 1) {
    const label = tokens[end]!;
    if (!isName(label)) continue;
    const value = tokens.slice(end, end + 4).find((text) => text.startsWith('"')) ?? '""';
    matchers.push({ label, value: value.slice(1, -1) });
  }
  return { matchers, end };
}
