import { formats, macs, type Size, shapes, stepBytes, type Weights } from './cases.ts';
import type { Ceilings } from './ceilings.ts';
import type { Spread } from './stats.ts';
import type { Phase } from './targets.ts';

export interface Row {
  readonly phase: Phase;
  readonly model: Size;
  readonly weights: Weights;
  readonly activations: 'matched';
  readonly threads: number;
  readonly sessions: number;
  readonly tokensPerSecond: Spread;
  /** Of the projections (and the head where it runs); null without a measured ceiling. */
  readonly gflops: number;
  readonly gflopsShare: number | null;
  /** Weights and states that a decode step reads; null for prefill. */
  readonly gbs: number | null;
  readonly gbsShare: number | null;
}

export interface PeerRow {
  readonly phase: Phase;
  readonly model: Size;
  readonly weights: Weights;
  readonly threads: number;
  readonly sessions: number;
  readonly peer: string;
  readonly ours: number;
  readonly theirs: number;
  readonly ratio: number;
  readonly target: number | null;
  readonly met: boolean | null;
}

export function rowOf(
  phase: Phase,
  model: Size,
  weights: Weights,
  sessions: number,
  rates: Spread,
  ceilings: Ceilings,
): Row {
  const shape = shapes[model];
  const { layers, head } = macs(shape);
  const gflops = (2 * (layers + (phase === 'decode' ? head : 0)) * rates.median) / 1e9;
  const peak = ceilings[formats[weights].ceiling];
  const gbs = phase === 'decode' ? (stepBytes(shape, weights, sessions) * rates.median) / sessions / 1e9 : null;
  return {
    phase,
    model,
    weights,
    activations: 'matched',
    threads: ceilings.threads,
    sessions,
    tokensPerSecond: rates,
    gflops,
    gflopsShare: peak === null ? null : gflops / peak,
    gbs,
    gbsShare: gbs === null || ceilings.readGBs === null ? null : gbs / ceilings.readGBs,
  };
}

export function peerRowOf(row: Row, peer: string, theirs: Spread, target: number | null): PeerRow {
  const { phase, model, weights, threads, sessions } = row;
  const ours = row.tokensPerSecond.median;
  const ratio = ours / theirs.median;
  const met = target === null ? null : ratio >= target;
  return { phase, model, weights, threads, sessions, peer, ours, theirs: theirs.median, ratio, target, met };
}

const whole = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
const percent = (share: number | null) => (share === null ? '' : `${(100 * share).toFixed(0)} %`);

/** A Markdown table, columns aligned; all but the first are right-aligned. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

const ratioOf = ({ ratio, target, met }: PeerRow) =>
  `${ratio.toFixed(2)}×${target === null ? '' : met ? ` ≥ ${target}` : ` < ${target} missed`}`;

/** One line a measurement: the engine, its share of the ceilings, and each peer with the ratio and the target. */
export function resultsTable(rows: readonly Row[], beside: readonly PeerRow[]): string {
  const peers = [...new Set(beside.map(({ peer }) => peer))];
  const same = (row: Row) => (other: PeerRow) =>
    other.model === row.model &&
    other.weights === row.weights &&
    other.threads === row.threads &&
    other.phase === row.phase &&
    other.sessions === row.sessions;
  const head = ['model', 'weights', 'threads', 'phase', 'sessions', 'tokens/s', 'min … max', 'of peak', 'of memory'];
  return table(
    [...head, ...peers.flatMap((peer) => [peer, 'ratio'])],
    rows.map((row) => [
      row.model,
      row.weights,
      `${row.threads}`,
      row.phase,
      `${row.sessions}`,
      whole(row.tokensPerSecond.median),
      `${whole(row.tokensPerSecond.min)} … ${whole(row.tokensPerSecond.max)}`,
      percent(row.gflopsShare),
      percent(row.gbsShare),
      ...peers.flatMap((name) => {
        const found = beside.filter(same(row)).find(({ peer }) => peer === name);
        return found ? [whole(found.theirs), ratioOf(found)] : ['', ''];
      }),
    ]),
  );
}

export function ceilingsTable(all: readonly Ceilings[]): string {
  const show = (value: number | null) => (value === null ? 'none' : whole(value));
  return table(
    ['threads', 'memory read GB/s', 'f32 GFLOP/s', 'bf16 GFLOP/s', 'int8 GOP/s'],
    all.map((c) => [`${c.threads}`, show(c.readGBs), show(c.f32GFLOPs), show(c.bf16GFLOPs), show(c.int8GOPs)]),
  );
}
