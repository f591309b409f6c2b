import type { Forecast } from '../estimate/forecast.ts';
import type { Rate } from '../estimate/rate.ts';
import type { Span } from '../estimate/span.ts';
import { bytes, count, duration } from './format.ts';

/** An estimate, a figure a line. What is not known is `?`, and a note says what to do about it. */
export function forecastText(found: Forecast): string {
  const { tokens, rates, queue, verdict, priceUsdPerHour: price } = found;
  const size = found.documentBytes === null ? '' : `, ${bytes(found.documentBytes)}`;
  const writes = tokens.writeTokens === 0 ? '' : `, at most ${count(tokens.writeTokens)} to write`;
  const rows: [string, string][] = [
    ['job', `${found.task} on ${found.model}${size}`],
    ['tokens', `${count(tokens.readTokens)} to read${writes}`],
    ['speed', `reads ${rateText(rates.read)}${tokens.writeTokens === 0 ? '' : `; writes ${rateText(rates.write)}`}`],
    ['gpu', range(found.gpuSeconds, duration)],
    [
      'queue',
      `${queue.jobsAhead} ahead, ${queue.workers} workers seen at work, wait ${range(queue.seconds, duration)}`,
    ],
    ['eta', range(found.etaSeconds, duration)],
  ];
  if (price !== null) {
    const perHour = price.low === price.high ? `${price.low}` : `${price.low} to ${price.high}`;
    rows.push(['price', `${range(found.costUsd, (usd) => usd.toFixed(4))} USD at ${perHour} USD an hour`]);
  }
  rows.push(['verdict', `${verdict.verdict.replace('_', ' ')}: ${verdict.reason}`]);
  for (const note of found.notes) rows.push(['note', note]);
  return rows.map(([name, value]) => `${name.padEnd(9)}${value}\n`).join('');
}

function rateText(rate: Rate | null): string {
  if (rate === null) return '?';
  const { tokensPerSecond, source, jobs } = rate;
  const speed = `${tokensPerSecond < 10 ? tokensPerSecond.toPrecision(2) : count(tokensPerSecond)} tokens/s`;
  const many = `${jobs} ${jobs === 1 ? 'job' : 'jobs'}`;
  const from = {
    named: 'as you say',
    live: `median of ${many} read now`,
    finished: `median of ${many} that ended`,
    'at-least': `of ${many} that ended`,
  } as const;
  return `${source === 'at-least' ? 'at least ' : ''}${speed} (${from[source]})`;
}

function range(span: Span | null, told: (n: number) => string): string {
  if (span === null) return '?';
  if (span.high === null) return `${told(span.low)} or more`;
  const [low, high] = [told(span.low), told(span.high)];
  return low === high ? low : `${low} to ${high}`;
}
