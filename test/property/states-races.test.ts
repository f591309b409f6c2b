import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCode, RetryableFailure, type StatePoint, type StateVersion } from '@longhaul/core/contracts';
import { createStates, type Publication, type States, sweepStates } from '@longhaul/core/states';
import { type Random, seededRandom } from '../simulation/random.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { at, hastySweep, keysBelow, newest, publicationOf, tenant } from '../support/states.ts';
import { type Fate, Turns } from '../support/turns.ts';

const first = Math.floor(Math.random() * 2 ** 31);
const seeds = 400;

const isRecord = (key: string) => /^states\/[^/]+\/[^/]+\/\d+\.json$/.test(key);
const slotOf = (key: string) => {
  const [, of, name, version] = /^states\/([^/]+)\/([^/]+)\/(?:ckpt\/)?(\d+)/.exec(key)!;
  return `${of}/${name}@${version}`;
};
const uriOf = ({ tenant: of, name, version }: StateVersion) => `${of}/${name}@${version}`;

/** A store that refuses to forget or to rewrite what must stand for ever, and tensors that a pin is promised to keep. */
class StrictStore extends MemoryStore {
  /** Slots that a pin has answered for. */
  readonly promised = new Set<string>();
  /** Tensors of versions that were ever told to anybody, and are not marked as removed. */
  readonly told = new Set<string>();
  readonly broken: string[] = [];
  override onWrite = (key: string, _: Uint8Array, before: Uint8Array | null) => {
    if (before !== null && !key.includes('/pins/')) this.broken.push(`${key} was written over`);
    if (key.includes('/removed/')) {
      const slot = slotOf(key.replace('/removed/', '/'));
      if (this.promised.has(slot)) this.broken.push(`${slot} is pinned and was removed`);
      this.told.delete(slot);
    }
  };
  override async delete(key: string): Promise<void> {
    if (isRecord(key) || key.includes('/removed/')) this.broken.push(`${key} was deleted`);
    const told = key.includes('/ckpt/') && this.told.has(slotOf(key));
    const record = told ? this.objects.get(key.replace(/ckpt\/(\d+)-.*/, '$1.json')) : undefined;
    if (record !== undefined && new TextDecoder().decode(record.body).includes(key)) {
      this.broken.push(`tensors of ${slotOf(key)} were deleted, and it was not removed`);
    }
    await super.delete(key);
  }
}

interface Told {
  /** Answers to publications, by job. */
  readonly versions: { readonly publication: Publication; readonly version: StateVersion }[];
  /** Whatever nobody foresaw. */
  readonly broken: unknown[];
}

const foreseen = ['state_not_found', 'state_moved', 'state_exists', 'state_pinned', 'store_unavailable'];

/** Tries again while the store is away; null where it was away each time. */
async function insist<T>(work: () => Promise<T>): Promise<T | null> {
  for (let tries = 0; tries < 6; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof RetryableFailure)) throw error;
    }
  }
  return null;
}

/** One thing that somebody may do. */
type Act = (states: States, random: Random, told: Told, world: StrictStore) => Promise<void>;

async function publishAs(states: States, publication: Publication, told: Told, world: StrictStore): Promise<void> {
  const version = await insist(() => states.publish(publication));
  if (version === null) return;
  told.versions.push({ publication, version });
  const removed = world.objects.has(`states/${tenant}/${version.name}/removed/${version.version}.json`);
  if (!removed) world.told.add(uriOf(version));
}

const ingest =
  (n: number): Act =>
  (states, _, told, world) =>
    publishAs(states, publicationOf(n), told, world);

/** A job goes on from the version that it was pinned to, whoever owns it. */
const append = (n: number): Act => {
  let parent: StatePoint | null = null;
  return async (states, _, told, world) => {
    const from = await insist(() => states.resolve(tenant, newest('book')));
    if (from === null) return;
    parent ??= { name: from.name, version: from.version };
    const origin = { ...publicationOf(n).origin, how: 'append', parent } as const;
    await publishAs(states, publicationOf(n, { origin, after: parent }), told, world);
  };
};

const fork: Act = async (states) => {
  await states.fork(tenant, newest('book'), 'copy');
};

const remove: Act = async (states, random) => {
  const ref = random.chance(0.3) ? newest('book') : at('book', 1 + random.below(4));
  await insist(() => states.remove(tenant, ref));
};

const pin: Act = async (states, random, _, world) => {
  const ref = random.chance(0.5) ? newest('book') : at('book', 1 + random.below(4));
  const version = await insist(() => states.pin(tenant, ref));
  if (version === null) return;
  const gone = world.objects.has(`states/${tenant}/book/removed/${version.version}.json`);
  if (gone) world.broken.push(`${uriOf(version)} was pinned when it was gone`);
  world.promised.add(uriOf(version));
};

/** Among those who unpin, a pin promises nothing: another's unpin may come right behind it. */
const pinAndUnpin: Act = async (states) => {
  const version = await insist(() => states.pin(tenant, newest('book')));
  if (version !== null) await insist(() => states.unpin(tenant, at('book', version.version)));
};

const look: Act = async (states) => {
  const version = await insist(() => states.resolve(tenant, newest('book')));
  if (version !== null) await insist(() => states.read(version));
  for await (const { newest: one } of states.list(tenant)) await states.read(one);
};

async function race(seed: number): Promise<{ readonly versions: number; readonly trouble: number }> {
  const random = seededRandom(seed);
  const world = new StrictStore();
  const turns = new Turns(random);
  const told: Told = { versions: [], broken: [] };
  let trouble = 0;
  const rate = random.pick([0, 0.05, 0.2]);
  const fates = (): Fate => {
    if (!random.chance(rate)) return 'done';
    trouble += 1;
    return random.pick(['repeated', 'lost', 'late', 'dies'] as const);
  };
  // Two publish as the same job: an owner, and the one who took the job from it.
  const pinning = random.pick([pin, pinAndUnpin]);
  const three = append(3);
  const acts: Act[] = [
    ingest(1),
    ingest(1),
    ingest(2),
    three,
    three,
    append(4),
    append(5),
    remove,
    remove,
    pinning,
    look,
  ];
  if (random.chance(0.5)) acts.push(fork, fork, pinning, remove);
  const sweep = async () => {
    const { store } = turns.actor(world, fates);
    for (let i = 0; i < 3; i++) await sweepStates(store, hastySweep);
  };
  const foresee = async (work: Promise<unknown>) => {
    await work.catch((error: unknown) => {
      if (!foreseen.includes(errorCode(error))) told.broken.push(error);
    });
  };
  for (const act of acts) void foresee(act(createStates(turns.actor(world, fates).store), random, told, world));
  void foresee(sweep());
  void foresee(sweep());
  await turns.play();
  if (told.broken.length > 0) throw told.broken[0];
  assert.deepEqual(world.broken, []);
  await check(world, told);
  assert.deepEqual(world.broken, []);
  return { versions: told.versions.length, trouble };
}

async function check(world: StrictStore, { versions }: Told): Promise<void> {
  const states = createStates(world);
  const jobs = new Map<string, string>();
  const slots = new Map<string, string>();
  const successors = new Map<number, StateVersion[]>();
  const isLive = ({ name, version }: StateVersion) =>
    !world.objects.has(`states/${tenant}/${name}/removed/${version}.json`);
  for (const { publication, version } of versions) {
    const job = JSON.stringify(publication.origin.job);
    assert.equal(jobs.get(job) ?? uriOf(version), uriOf(version), `${job} was told two versions`);
    assert.equal(slots.get(uriOf(version)) ?? job, job, `${uriOf(version)} was told to two jobs`);
    if (!jobs.has(job) && version.origin.how === 'append') {
      const after = version.origin.parent!.version;
      successors.set(after, [...(successors.get(after) ?? []), version]);
    }
    jobs.set(job, uriOf(version));
    slots.set(uriOf(version), job);
    const record = world.objects.get(`states/${tenant}/${version.name}/${version.version}.json`);
    assert.deepEqual(JSON.parse(new TextDecoder().decode(record!.body)), version, 'what was told is what is stored');
    if (isLive(version)) assert.equal((await states.read(version)).tokenOffset, publication.state.tokenOffset);
  }
  for (const [after, all] of successors) {
    const standing = all.filter(isLive).length;
    assert.ok(standing <= 1, `${standing} versions say that book@${after} was the newest when they came`);
  }
  // With nothing under way, what is left is the versions and their own tensors.
  await sweepStates(world, hastySweep);
  await sweepStates(world, hastySweep);
  const live = new Set<string>();
  for await (const { name } of states.list(tenant)) {
    for (const version of await states.versions(tenant, name)) {
      live.add(version.checkpoint.key);
      await states.read(version);
    }
  }
  const tensors = keysBelow(world, 'states/').filter((key) => key.includes('/ckpt/'));
  assert.deepEqual(tensors, [...live].sort());
  for (const name of ['book', 'copy']) {
    const numbers = keysBelow(world, `states/${tenant}/${name}/`).filter(isRecord).length;
    for (let n = 1; n <= numbers; n++)
      assert.ok(world.objects.has(`states/${tenant}/${name}/${n}.json`), `gap at ${n}`);
  }
}

test('whoever publishes, removes, pins, forks, reads and sweeps at once, whatever is lost, late or dies, every promise holds', async (t) => {
  const all = { versions: 0, trouble: 0 };
  for (let seed = first; seed < first + seeds; seed++) {
    const found = await race(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
    all.versions += found.versions;
    all.trouble += found.trouble;
  }
  t.diagnostic(`seeds from ${first}: ${all.versions} versions told, ${all.trouble} faults`);
  assert.ok(all.versions > seeds && all.trouble > seeds, 'a race in which nothing happens proves nothing');
});

test('two appends from one version: one of them comes, the other is told that the state moved', async () => {
  for (let seed = first; seed < first + 100; seed++) {
    const world = new MemoryStore();
    const turns = new Turns(seededRandom(seed));
    await createStates(world).publish(publicationOf(1));
    const after = { name: 'book', version: 1 };
    const outcomes: string[] = [];
    for (const n of [2, 3]) {
      const states = createStates(turns.actor(world).store);
      void states.publish(publicationOf(n, { after })).then(
        ({ version }) => outcomes.push(`@${version}`),
        (error: unknown) => outcomes.push(errorCode(error)),
      );
    }
    await turns.play();
    assert.deepEqual(outcomes.sort(), ['@2', 'state_moved'], `seed ${seed}`);
    assert.equal(keysBelow(world, 'states/default/book/ckpt/').length, 2, 'the loser takes its tensors back');
  }
});

test('publishers that come at once all get a version, in some order, without a gap', async () => {
  for (let seed = first; seed < first + 50; seed++) {
    const world = new MemoryStore();
    const turns = new Turns(seededRandom(seed));
    const numbers: number[] = [];
    for (let n = 1; n <= 6; n++) {
      const states = createStates(turns.actor(world).store);
      void states.publish(publicationOf(n)).then(({ version }) => numbers.push(version));
    }
    await turns.play();
    assert.deepEqual(numbers.sort(), [1, 2, 3, 4, 5, 6], `seed ${seed}`);
    assert.equal(keysBelow(world, 'states/default/book/ckpt/').length, 6);
  }
});
