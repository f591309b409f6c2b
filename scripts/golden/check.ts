import { checkBatches } from './cases/batches.ts';
import { checkChunks } from './cases/chunks.ts';
import type { CaseContext } from './cases/context.ts';
import { checkGreedy } from './cases/greedy.ts';
import { checkMiddleStates } from './cases/middle.ts';
import { checkScores } from './cases/scores.ts';
import { checkSequences } from './cases/sequences.ts';
import { Findings, type KindResult } from './compare.ts';
import type { Engine, EngineSession, EngineShape } from './engine.ts';
import { type GoldenFolder, TensorShelf } from './folder.ts';
import { deriveTolerances, type StoredPair } from './tolerance.ts';

export interface NotCompared {
  readonly what: string;
  readonly reason: string;
  readonly items: number;
}

export interface ModelReport {
  readonly model: string;
  readonly dir: string;
  readonly results: readonly KindResult[];
  readonly notCompared: readonly NotCompared[];
  readonly ok: boolean;
}

/** Runs everything a golden folder holds through the engine that has its model loaded. */
export async function checkModel<S extends EngineSession>(
  folder: GoldenFolder,
  engine: Engine<S>,
): Promise<ModelReport> {
  const { manifest, dir } = folder;
  const shelf = new TensorShelf(folder.tensors);
  const findings = new Findings();
  const tolerances = deriveTolerances(manifest, storedPairs(shelf));
  const context: CaseContext<S> = { engine, shelf, manifest, tolerances, findings };
  checkFiles(folder, findings);
  const shapeless = checkShape(folder, engine.info, findings);
  await checkSequences(context);
  await checkGreedy(context);
  await checkScores(context);
  await checkMiddleStates(context);
  await checkChunks(context);
  await checkBatches(context);
  const notCompared = [...shapeless, ...leftOut(folder, shelf, findings)];
  const results = findings.results();
  return { model: manifest.name, dir, results, notCompared, ok: results.length > 0 && results.every(({ ok }) => ok) };
}

function checkFiles({ manifest, digests }: GoldenFolder, findings: Findings): void {
  for (const [name, expected] of Object.entries(manifest.sha256)) {
    const found = digests.get(name) ?? null;
    const actual = [found === expected ? 0 : 1];
    const where = () => `${name}: expected sha256 ${expected}, found ${found ?? 'no such file'}`;
    findings.add({
      kind: 'files',
      where: found === expected ? () => name : where,
      expected: [0],
      actual,
      tolerance: 0,
    });
  }
}

const shapeKeys: Readonly<Record<string, keyof EngineShape>> = {
  vocab_size: 'vocabSize',
  hidden_size: 'dModel',
  intermediate_size: 'dInner',
  state_size: 'dState',
  num_hidden_layers: 'nLayer',
  conv_kernel: 'dConv',
  time_step_rank: 'dtRank',
};

/** The sizes that config.json resolves to. Epsilons and flags are not told by the face; the logits show them. */
function checkShape({ manifest }: GoldenFolder, info: EngineShape, findings: Findings): NotCompared[] {
  let untold = 0;
  for (const [key, value] of Object.entries(manifest.resolved_config)) {
    const name = shapeKeys[key];
    if (name === undefined) untold++;
    else {
      const where = () => `${key}: expected ${value}, found ${info[name]}`;
      findings.add({ kind: 'config', where, expected: [Number(value)], actual: [Number(info[name])], tolerance: 0 });
    }
  }
  const reason = 'the engine does not tell epsilons and flags; the logits depend on them';
  return untold === 0 ? [] : [{ what: 'resolved_config', reason, items: untold }];
}

/** Names whose contents the face cannot give, by pattern, with the reason. */
const beyondTheFace: readonly (readonly [RegExp, string, string])[] = [
  [/\.hidden\./, 'hidden states', 'the engine gives no activations between its layers'],
  [/\.layer\d+\./, 'module outputs', 'the engine gives no activations inside a layer'],
  [/\.native(_positions)?$/, 'pure bf16 compute', 'only there for orientation: other rounding points than ours'],
  [/\.f32$/, 'f32 run', 'not a result to meet: the tolerances are derived from it'],
];

/** Every tensor that no case asked for: with its reason, or as a miss where there is none. */
function leftOut({ manifest }: GoldenFolder, shelf: TensorShelf, findings: Findings): NotCompared[] {
  const items = new Map<string, NotCompared>();
  const note = (what: string, reason: string) => {
    items.set(what, { what, reason, items: (items.get(what)?.items ?? 0) + 1 });
  };
  for (const name of shelf.untouched()) {
    const found = beyondTheFace.find(([pattern]) => pattern.test(name));
    if (found !== undefined) note(found[1], found[2]);
    else {
      const where = () => `${name} is in goldens.safetensors, and no case knows it`;
      findings.add({ kind: 'tensors', where, expected: [0], actual: [1], tolerance: 0 });
    }
  }
  for (const name of Object.keys(manifest.tensors)) {
    if (shelf.has(name)) continue;
    const where = () => `${name} is listed in manifest.json and missing in goldens.safetensors`;
    findings.add({ kind: 'tensors', where, expected: [0], actual: [1], tolerance: 0 });
  }
  for (const _ of manifest.trimmed?.dropped ?? []) note('trimmed tensors', 'left out of this copy, see "trimmed"');
  for (const { native_tokens } of Object.values(manifest.greedy)) {
    if (native_tokens !== undefined) note('greedy tokens of pure bf16 compute', 'other rounding points than ours');
  }
  return [...items.values()];
}

const quantities: readonly (readonly [RegExp, StoredPair['quantity']])[] = [
  [/\.logits(_last)?\.f64$/, 'logits'],
  [/\.logprobs\.f64$/, 'logprob'],
  [/\.conv_state\.f64$/, 'convState'],
  [/\.ssm_state\.f64$/, 'ssmState'],
];

function storedPairs(shelf: TensorShelf): StoredPair[] {
  return shelf.names().flatMap((name) => {
    const quantity = quantities.find(([pattern]) => pattern.test(name))?.[1];
    if (quantity === undefined) return [];
    const single = name.replace(/\.f64$/, '.f32');
    return [{ quantity, f64: shelf.peek(name), f32: shelf.has(single) ? shelf.peek(single) : null }];
  });
}
