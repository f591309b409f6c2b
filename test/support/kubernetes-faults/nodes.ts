import type { Fault } from './fault.ts';

/** When Karpenter may take a node, and what its pods hear of it. */
export const nodeFaults: readonly Fault[] = [
  [
    'nodes that a spot notice takes with their workers',
    'eks',
    'NodePool/longhaul-worker-spot',
    'spec.template.spec.terminationGracePeriod',
    undefined,
    'nodes',
    /no terminationGracePeriod/,
  ],
  [
    'nodes that give a worker less than its grace',
    'eks',
    'NodePool/longhaul-worker-on-demand',
    'spec.template.spec.terminationGracePeriod',
    '1m30s',
    'nodes',
    /90 s/,
  ],
  [
    'nodes that outlast a spot notice',
    'eks',
    'NodePool/longhaul-worker-spot',
    'spec.template.spec.terminationGracePeriod',
    '1h',
    'nodes',
    /3600 s/,
  ],
  [
    'nodes that are replaced under their workers',
    'eks',
    'NodePool/longhaul-worker-spot',
    'spec.disruption.budgets',
    undefined,
    'nodes',
    /Drifted/,
  ],
  [
    'nodes of which one at a time is replaced under its workers',
    'eks-keda',
    'NodePool/longhaul-worker-on-demand',
    'spec.disruption.budgets.1.nodes',
    '1',
    'nodes',
    /Drifted/,
  ],
];
