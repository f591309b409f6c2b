import { type Random, seededRandom } from '../random.ts';
import type { Arrival } from './arrival.ts';

const hour = 3600;

/**
 * An invented day of one model: people submit in two humps around ten and half past three, a pipeline hands in hundreds of
 * documents at half past one in the night, a few archives of millions of tokens come in between, and for hours nobody wants anything.
 */
export function generateDay(seed: number): Arrival[] {
  const random = seededRandom(seed);
  return [...people(random), ...nightlyBatch(random), ...archives(random), ...questions(random)]
    .map((arrival) => ({ ...arrival, at: Math.round(arrival.at * 10) / 10 }))
    .filter(({ at }) => at >= 0 && at < 24 * hour)
    .sort((a, b) => a.at - b.at);
}

/** Documents of people: reports, contracts, books. */
function people(random: Random): Arrival[] {
  const tenants = ['press', 'legal', 'legal', 'research', 'research', 'research', 'support', 'finance'];
  return Array.from({ length: 1500 }, () => {
    const at = random.chance(0.55) ? (10 + 1.3 * gauss(random)) * hour : (15.5 + 1.6 * gauss(random)) * hour;
    const tokens = Math.round(Math.min(2_000_000, 45_000 * Math.exp(1.1 * gauss(random))));
    const arrival: Arrival = { at, tenant: random.pick(tenants), tokens };
    // People who ask for a time ask for one that the document could make.
    const alone = tokens / 2600;
    return random.chance(0.1) ? { ...arrival, deadline: Math.round(900 + 3 * alone + random.next() * 5400) } : arrival;
  });
}

/** All within three minutes, to be there in the morning. */
function nightlyBatch(random: Random): Arrival[] {
  return Array.from({ length: 420 }, () => ({
    at: 1.5 * hour + random.next() * 180,
    tenant: 'pipeline',
    tokens: Math.round(120_000 * Math.exp(0.5 * gauss(random))),
    deadline: 5 * hour,
  }));
}

function archives(random: Random): Arrival[] {
  return [6.2, 9.4, 12.1, 13.8, 17.9, 20.6].map((at) => ({
    at: (at + random.next() * 0.3) * hour,
    tenant: random.pick(['research', 'legal']),
    tokens: Math.round(2_000_000 + random.next() * 7_000_000),
  }));
}

/** Questions to what was read before: little to read, and many answers. */
function questions(random: Random): Arrival[] {
  return Array.from({ length: 60 }, () => ({
    at: (8 + random.next() * 11) * hour,
    tenant: random.pick(['research', 'support']),
    tokens: Math.round(200 + random.next() * 2000),
    questions: 1 + random.below(120),
  }));
}

function gauss(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}
