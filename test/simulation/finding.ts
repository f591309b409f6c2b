import type { TraceLine } from './scheduler.ts';
import type { Finding } from './simulate.ts';

const shownLines = 60;

export function traceText(trace: readonly TraceLine[]): string {
  return trace.map(([at, what]) => `${(at / 1000).toFixed(3).padStart(10)}  ${what}`).join('\n');
}

/** The rule, how to play it again, and the end of what happened. */
export function describeFinding({ level, seed, message, trace }: Finding): string {
  const end = traceText(trace.slice(-shownLines));
  return `${message}\n${end}\nreplay: npm run simulate -- --level ${level} --seed ${seed} --trace`;
}
