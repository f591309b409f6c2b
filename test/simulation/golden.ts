import type { JobResult, JobSpec, OutputRecord } from '@longhaul/core/contracts';
import { EMPTY_CHAIN, extendChain, recordLine } from '@longhaul/core/ledger';

/** What a run without any fault gives: what every run has to give. */
export interface Golden {
  readonly spec: JobSpec;
  readonly records: readonly OutputRecord[];
  /** [n] is the digest of the first n records. */
  readonly chains: readonly string[];
  /** By token offset; offsets at which no commit may stand are absent. */
  readonly states: ReadonlyMap<number, string>;
  /** What the user is given at the end. */
  readonly answer: Pick<JobResult, 'text' | 'score' | 'usage'>;
}

export function chainsOf(records: readonly OutputRecord[]): string[] {
  const chains = [EMPTY_CHAIN];
  for (const record of records) chains.push(extendChain(chains.at(-1)!, [recordLine(record)]));
  return chains;
}
