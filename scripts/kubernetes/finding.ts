import type { Manifest, Workload } from './manifest.ts';

/** Something that is wrong with an object, by the rule that found it. */
export interface Finding {
  readonly rule: string;
  /** `kind/name`. */
  readonly object: string;
  readonly text: string;
}

/** Everything that one overlay applies. */
export interface Rendered {
  readonly manifests: readonly Manifest[];
  /** What runs, and what the controller is to start from its template. */
  readonly workloads: readonly Workload[];
}

export type Rule = (rendered: Rendered) => readonly Finding[] | Promise<readonly Finding[]>;
