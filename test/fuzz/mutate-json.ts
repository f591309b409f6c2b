type Random = (below: number) => number;
type Holder = Record<string, unknown>;

const values: readonly unknown[] = [
  ...[null, true, false, '', 'x', '__proto__', '../x', [], {}, [[]], { a: 1 }],
  ...[0, -0, -1, 1, 2, 0.5, 64, 65536, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, -1e-320],
];

/** Every object and array of `value`, those without content left out. */
function holders(value: unknown, found: Holder[] = []): Holder[] {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) return found;
  found.push(value as Holder);
  for (const item of Object.values(value)) if (found.length < 10_000) holders(item, found);
  return found;
}

const pick = <T>(items: readonly T[], random: Random): T => items[random(items.length)]!;

/** One change of a JSON text that leaves it well-formed; null where it is not JSON, or has nothing to change. */
export function mutateJson(input: Buffer, random: Random): Buffer | null {
  try {
    const root: unknown = JSON.parse(input.toString());
    const all = holders(root);
    if (all.length === 0) return null;
    const holder = pick(all, random);
    const key = pick(Object.keys(holder), random);
    const value = holder[key];
    const other = pick(all, random);
    const kind = random(6);
    if (kind === 0) delete holder[key];
    else if (kind === 1 && typeof value === 'number') holder[key] = value + pick([1, -1, 8, 0.25, -value * 2], random);
    else if (kind === 2) holder[key] = structuredClone(other[pick(Object.keys(other), random)]);
    else if (kind === 3) holder[pick(Object.keys(other), random)] = structuredClone(value);
    else if (kind === 4 && Array.isArray(holder)) holder.push(structuredClone(value));
    else holder[key] = pick(values, random);
    return Buffer.from(JSON.stringify(root));
  } catch {
    return null;
  }
}
