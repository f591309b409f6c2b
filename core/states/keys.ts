import { RejectedJob } from '../contracts/errors.ts';
import { Tenant } from '../contracts/job.ts';
import { StateName, StateVersionNumber } from '../contracts/state.ts';

/** A version number of a name, taken or not. */
export interface Slot {
  readonly tenant: string;
  readonly name: StateName;
  readonly version: number;
}

type Owned = Pick<Slot, 'tenant' | 'name'>;

const folder = ({ tenant, name }: Owned) => `states/${tenant}/${name}/`;

/** The objects of named states. All but pins are written once. */
export const keys = {
  states: 'states/',
  tenant: (tenant: string) => `states/${tenant}/`,
  name: folder,
  version: (slot: Slot) => `${folder(slot)}${slot.version}.json`,
  checkpoint: (slot: Slot, sha256: string) => `${folder(slot)}ckpt/${slot.version}-${sha256}.safetensors`,
  pin: (slot: Slot) => `${folder(slot)}pins/${slot.version}.json`,
  removed: (slot: Slot) => `${folder(slot)}removed/${slot.version}.json`,
} as const;

const part =
  /^states\/([^/]+)\/([^/]+)\/(?:(ckpt|pins|removed)\/)?([1-9][0-9]{0,9})(?:\.json|-[0-9a-f]{64}\.safetensors)$/;

/** What a key names; null for any other key. */
export function partOf(
  key: string,
): { readonly kind: 'version' | 'ckpt' | 'pins' | 'removed'; readonly slot: Slot } | null {
  const found = part.exec(key);
  if (found === null) return null;
  const [, tenant, name, kept, version] = found;
  const kind = (kept ?? 'version') as 'version' | 'ckpt' | 'pins' | 'removed';
  return { kind, slot: { tenant: tenant!, name: name!, version: Number(version) } };
}

/**
 * Tenants and names hold no `/` and no `..`, so a key that is made of them lies below `states/{tenant}/`: no name, whatever
 * it is, reaches another tenant's objects. Throws `invalid_argument`.
 */
export function checkOwned(tenant: string, name: string): void {
  checkTenant(tenant);
  const parsed = StateName.safeParse(name);
  if (!parsed.success) throw refuse(parsed.error.issues[0]!.message, name);
}

export function checkTenant(tenant: string): void {
  if (!Tenant.safeParse(tenant).success) {
    throw refuse('a tenant is 1 to 63 of a-z 0-9 -, beginning with a letter or digit', tenant);
  }
}

export function checkVersion(version: number): void {
  if (!StateVersionNumber.safeParse(version).success) throw refuse('versions count from 1', String(version));
}

function refuse(rule: string, found: string): RejectedJob {
  return new RejectedJob('invalid_argument', `${rule}; found ${JSON.stringify(found).slice(0, 120)}`);
}
