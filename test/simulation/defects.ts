import type { Rule } from './checker.ts';
import type { Level } from './simulate.ts';

/** Bugs that can be built in, where they show, and the rules that may report each: how the check itself is checked. */
export const defects = {
  'store ignores If-Match': {
    level: 'ledger',
    rules: [
      'fenced-commit',
      'ended-is-final',
      'seq-by-one',
      'one-commit',
      'one-owner',
      'takeover-moves-nothing',
      'epoch-by-one',
    ],
  },
  'store ignores If-None-Match': {
    level: 'ledger',
    rules: ['written-once', 'result-once', 'named-exists', 'golden-output'],
  },
  'store forgets an object it took': { level: 'ledger', rules: ['named-exists'] },
  'result may be written twice': { level: 'ledger', rules: ['result-once'] },
  'commit without fencing': {
    level: 'ledger',
    rules: [
      'fenced-commit',
      'ended-is-final',
      'one-commit',
      'seq-by-one',
      'one-owner',
      'golden-output',
      'takeover-moves-nothing',
      'epoch-by-one',
    ],
  },
  'acquire without a new epoch': {
    level: 'ledger',
    rules: ['one-owner', 'epoch-by-one', 'one-commit', 'seq-by-one', 'fenced-commit', 'takeover-moves-nothing'],
  },
  'garbage takes the checkpoint': { level: 'ledger', rules: ['named-exists', 'pinned-stays'] },
  'garbage takes the restore point': { level: 'ledger', rules: ['named-exists', 'pinned-stays'] },
  'garbage takes what is pinned': { level: 'ledger', rules: ['pinned-stays', 'named-exists'] },
  'garbage stays': { level: 'ledger', rules: ['left-over'] },
  'resume feeds the last token again': { level: 'ledger', rules: ['golden-state', 'golden-output', 'given-golden'] },
  'output begins one record late after a resume': {
    level: 'ledger',
    rules: ['golden-output', 'given-golden', 'given-once', 'golden-answer', 'ends'],
  },
  'acknowledged when taken': { level: 'worker', rules: ['acknowledged-early'] },
  'stream takes any epoch and position': { level: 'worker', rules: ['live-fenced', 'live-in-order', 'given-once'] },
  'nobody looks for lost jobs': { level: 'worker', rules: ['ends'] },
  'reader starts one record early': { level: 'worker', rules: ['given-once', 'given-golden'] },
} as const satisfies Readonly<Record<string, { readonly level: Level; readonly rules: readonly Rule[] }>>;
export type Defect = keyof typeof defects;
