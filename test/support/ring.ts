import type { Ring } from '@longhaul/core/queue';

/** A ring of the default tenant, for a second of work. */
export const ringWith = (priority: number): Ring => ({ priority, tenant: 'default', seconds: 1 });
