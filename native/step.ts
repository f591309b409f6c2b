// One item of a step, checked and in the addon's form. Nothing runs before every item has passed.
import type { NativeSampling, NativeStepItem } from './binding.ts';
import { EngineError } from './errors.ts';
import type { Sampling, StepItem, StepResult, TopLogprobs } from './types.ts';

/** As kMaxTop in backend/backend.h. */
const maxTop = 20;
const maxBias = 100;

export interface PreparedItem {
  readonly native: NativeStepItem;
  /** From the token that was sampled and its log-probability, where one was wanted. */
  readonly result: (token: number, logprob: number) => StepResult;
}

export function prepareItem(item: StepItem, index: number, slot: number, vocabSize: number): PreparedItem {
  const where = `item ${index}`;
  const { tokens, want } = item;
  if (!(tokens instanceof Int32Array) || tokens.length < 1)
    throw invalid(`${where}: tokens must be an Int32Array of at least one token, found ${describe(tokens)}`);
  checkIds(tokens, 0, vocabSize, `${where}: tokens`);

  const base = { slot, tokens, sampling: null, targets: null, out: null, top: 0, topIds: null, topLogprobs: null };
  switch (want.kind) {
    case 'nothing':
      return { native: { ...base, want: 'nothing' }, result: () => ({ kind: 'nothing' }) };
    case 'sample': {
      const sampling = prepareSampling(want.sampling, where, vocabSize);
      const top = prepareTop(want.top, 1, where, vocabSize);
      return {
        native: { ...base, want: 'sample', sampling, ...nativeTop(want.top, top) },
        result: (token, logprob) => ({ kind: 'sample', token, logprob, top }),
      };
    }
    case 'logprobs': {
      const { targets } = want;
      if (!(targets instanceof Int32Array) || targets.length !== tokens.length)
        throw invalid(`${where}: targets must be an Int32Array of ${tokens.length}, found ${describe(targets)}`);
      checkIds(targets, -1, vocabSize, `${where}: targets`);
      const logprobs = floats(tokens.length, where).fill(Number.NaN);
      const top = prepareTop(want.top, tokens.length, where, vocabSize);
      return {
        native: { ...base, want: 'logprobs', targets, out: logprobs, ...nativeTop(want.top, top) },
        result: () => ({ kind: 'logprobs', logprobs, top }),
      };
    }
    case 'logits': {
      const all = want.positions === 'all';
      if (!all && want.positions !== 'last')
        throw invalid(`${where}: positions must be last or all, found ${String(want.positions)}`);
      const logits = floats((all ? tokens.length : 1) * vocabSize, where);
      return {
        native: { ...base, want: all ? 'logits_all' : 'logits_last', out: logits },
        result: () => ({ kind: 'logits', logits }),
      };
    }
    default:
      throw invalid(`${where}: want.kind must be nothing, sample, logprobs or logits, found ${describe(want)}`);
  }
}

/** Results of so many positions, for the engine to fill. */
function prepareTop(top: number, positions: number, where: string, vocabSize: number): TopLogprobs {
  const most = Math.min(maxTop, vocabSize);
  if (!Number.isSafeInteger(top) || top < 0 || top > most)
    throw invalid(`${where}: top must be an integer from 0 to ${most}, found ${String(top)}`);
  const logprobs = floats(positions * top, where).fill(Number.NaN);
  return { ids: new Int32Array(logprobs.length).fill(-1), logprobs };
}

function nativeTop(
  top: number,
  { ids, logprobs }: TopLogprobs,
): Pick<NativeStepItem, 'top' | 'topIds' | 'topLogprobs'> {
  return { top, topIds: ids, topLogprobs: logprobs };
}

function prepareSampling(s: Sampling, where: string, vocabSize: number): NativeSampling {
  const check = (ok: boolean, name: string, allowed: string, found: unknown) => {
    if (!ok) throw invalid(`${where}: ${name} must be ${allowed}, found ${String(found)}`);
  };
  check(Number.isFinite(s.temperature) && s.temperature >= 0, 'temperature', 'a number >= 0', s.temperature);
  check(s.topK === null || (Number.isSafeInteger(s.topK) && s.topK >= 1), 'topK', 'null or an integer >= 1', s.topK);
  check(s.topP === null || (s.topP > 0 && s.topP <= 1), 'topP', 'null or a number in (0, 1]', s.topP);
  check(s.minP === null || (s.minP >= 0 && s.minP <= 1), 'minP', 'null or a number in [0, 1]', s.minP);
  checkBias(s.logitBias, where, vocabSize);
  check(
    Number.isFinite(s.repetitionPenalty) && s.repetitionPenalty > 0,
    'repetitionPenalty',
    '> 0',
    s.repetitionPenalty,
  );
  check(s.penalized instanceof Int32Array, 'penalized', 'an Int32Array', describe(s.penalized));
  checkIds(s.penalized, 0, vocabSize, `${where}: penalized`);
  check(
    typeof s.seed === 'bigint' && s.seed === BigInt.asUintN(64, s.seed),
    'seed',
    'an unsigned 64-bit bigint',
    s.seed,
  );
  check(Number.isSafeInteger(s.position) && s.position >= 0, 'position', 'an integer >= 0', s.position);
  return {
    temperature: s.temperature,
    topK: Math.min(s.topK ?? 0, vocabSize),
    topP: s.topP ?? 1,
    minP: s.minP ?? 0,
    biasIds: s.logitBias.ids,
    biases: s.logitBias.biases,
    repetitionPenalty: s.repetitionPenalty,
    penalized: s.penalized,
    seed: s.seed,
    position: s.position,
  };
}

function checkBias(bias: Sampling['logitBias'], where: string, vocabSize: number): void {
  const { ids, biases } = bias ?? {};
  if (!(ids instanceof Int32Array) || !(biases instanceof Float32Array) || ids.length !== biases.length)
    throw invalid(
      `${where}: logitBias must be an Int32Array of ids and as many biases in a Float32Array, ` +
        `found ${describe(ids)} and ${describe(biases)}`,
    );
  checkIds(ids, 0, vocabSize, `${where}: logitBias.ids`);
  if (new Set(ids).size < ids.length) throw invalid(`${where}: logitBias.ids must not repeat`);
  const at = biases.findIndex((value) => !(Math.abs(value) <= maxBias));
  if (at >= 0)
    throw invalid(`${where}: logitBias.biases[${at}] must be from -${maxBias} to ${maxBias}, found ${biases[at]}`);
}

function checkIds(ids: Int32Array, low: number, vocabSize: number, where: string): void {
  const at = ids.findIndex((id) => id < low || id >= vocabSize);
  if (at >= 0)
    throw new EngineError('token_out_of_range', `${where}[${at}] must be in [${low}, ${vocabSize}), found ${ids[at]}`);
}

function floats(length: number, where: string): Float32Array {
  try {
    return new Float32Array(length);
  } catch (cause) {
    throw new EngineError('out_of_memory', `${where}: cannot allocate ${length} floats for the result`, { cause });
  }
}

function describe(value: unknown): string {
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${(value as Int32Array).length}`;
  return JSON.stringify(value) ?? String(value);
}

function invalid(message: string): EngineError {
  return new EngineError('invalid_argument', message);
}
