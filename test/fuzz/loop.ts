// Coverage-guided fuzzing of the parsers that are TypeScript: an input that reaches a new block joins the corpus.
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { Coverage } from './coverage.ts';
import { mutate, randomOf } from './mutate.ts';
import type { Target } from './targets.ts';

/** Longest time that one input may take. */
const patienceMs = 2000;

export interface FuzzOptions {
  readonly seed: number;
  /** Mutated inputs, or milliseconds: whichever ends first. */
  readonly runs: number;
  readonly ms: number;
  /** Folders of inputs, one a file, that are replayed first; the last one receives what is found, where it is not null. */
  readonly corpus: readonly string[];
  readonly grow: string | null;
}

export interface FuzzOutcome {
  readonly runs: number;
  /** Inputs that were taken as a whole, those replayed among them. */
  readonly accepted: number;
  readonly features: number;
  readonly corpus: number;
}

/** An input that ended in anything but success or a refusal. */
export class Finding extends Error {
  readonly input: Buffer;
  constructor(target: string, what: string, input: Buffer) {
    super(`${target}: ${what}\ninput (${input.length} bytes): ${inspect(input.subarray(0, 400).toString('latin1'))}`);
    this.input = input;
  }
}

export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzOutcome> {
  const random = randomOf(options.seed);
  const coverage = new Coverage(target.covers);
  const harness = await target.open();
  let runs = 0;
  let accepted = 0;
  const attempt = async (input: Buffer) => {
    runs++;
    const began = performance.now();
    try {
      await harness.run(input);
      accepted++;
    } catch (error) {
      if (!target.refusal(error)) throw new Finding(target.name, inspect(error), input);
    }
    const took = performance.now() - began;
    if (took > patienceMs) throw new Finding(target.name, `took ${took.toFixed(0)} ms`, input);
  };
  try {
    const corpus: Buffer[] = [];
    for (const input of [...(await target.seeds()), ...(await inputsOf(options.corpus))]) {
      await attempt(input);
      corpus.push(input);
    }
    coverage.fresh();
    const until = performance.now() + options.ms;
    for (let n = 0; n < options.runs && performance.now() < until; n++) {
      const input = mutate(corpus, random);
      await attempt(input);
      if (coverage.fresh() === 0) continue;
      corpus.push(input);
      if (options.grow !== null) await keep(options.grow, input);
    }
    return { runs, accepted, features: coverage.features, corpus: corpus.length };
  } catch (error) {
    if (error instanceof Finding && options.grow !== null) await keep(options.grow, error.input);
    throw error;
  } finally {
    coverage.close();
    await harness.close();
  }
}

async function inputsOf(folders: readonly string[]): Promise<Buffer[]> {
  const inputs: Buffer[] = [];
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => []);
    for (const name of names.sort()) inputs.push(await readFile(join(folder, name)));
  }
  return inputs;
}

async function keep(folder: string, input: Buffer): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, createHash('sha1').update(input).digest('hex')), input);
}
