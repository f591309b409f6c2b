import { mutateJson } from './mutate-json.ts';

/** xorshift32: the same inputs from the same seed on every machine. */
export function randomOf(seed: number): (below: number) => number {
  let x = (seed | 0) === 0 ? 1 : seed | 0;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

const numbers = [
  '0',
  '-0',
  '-1',
  '1',
  '0.5',
  '255',
  '65536',
  '2147483648',
  '4294967296',
  '9007199254740993',
  '1e308',
  '1e999',
  '1e-400',
];
const words = [
  ...['null', 'true', '[]', '{}', '""', '"x"', '"constructor"', '"__proto__"', '"__metadata__"'],
  ...['"\\ud800"', '"\\u0000"', '"F32"', '"BF16"', '"U8"', '"I8"', '"nf4"', '"shape"', '"dtype"'],
  ...['"data_offsets"', '"../x.safetensors"', ',', ':', '"', '\u{1f600}', '\ufeff', '\u0000'],
];
const mostBytes = 1 << 20;

type Random = (below: number) => number;
type Mutation = (input: Buffer, random: Random, others: readonly Buffer[]) => Buffer;

const splice = (input: Buffer, at: number, cut: number, insert: Uint8Array) =>
  Buffer.concat([input.subarray(0, at), insert, input.subarray(at + cut)]);

const mutations: readonly Mutation[] = [
  (input, random) => {
    const out = Buffer.from(input);
    if (out.length > 0) out[random(out.length)]! ^= 1 << random(8);
    return out;
  },
  (input, random) => splice(input, random(input.length + 1), random(8), Buffer.of(random(256))),
  (input, random) => splice(input, random(input.length + 1), 1 + random(64), Buffer.alloc(0)),
  (input, random) => splice(input, random(input.length + 1), 0, Buffer.from(words[random(words.length)]!)),
  // A number for another one.
  (input, random) => {
    const found = [...input.toString('latin1').matchAll(/-?\d+(\.\d+)?([eE][+-]?\d+)?/g)];
    if (found.length === 0) return input;
    const { index, 0: text } = found[random(found.length)]!;
    return splice(input, index, text.length, Buffer.from(numbers[random(numbers.length)]!));
  },
  // A whole JSON word for another one.
  (input, random) => {
    const found = [...input.toString('latin1').matchAll(/"[^"]*"|true|false|null|\[[^[\]{}]*\]/g)];
    if (found.length === 0) return input;
    const { index, 0: text } = found[random(found.length)]!;
    return splice(input, index, text.length, Buffer.from(words[random(words.length)]!));
  },
  // A span again, somewhere else.
  (input, random) => {
    const from = random(input.length + 1);
    return splice(input, random(input.length + 1), 0, input.subarray(from, from + random(256)));
  },
  // A span many times over: long strings, many keys, deep nesting.
  (input, random) => {
    const from = random(input.length + 1);
    const span = random(2) === 0 ? input.subarray(from, from + 1 + random(16)) : Buffer.from('[{"'[random(3)]!);
    return splice(input, from, 0, Buffer.concat(Array(2 ** random(16)).fill(span)));
  },
  (input, random, others) => {
    const other = others[random(others.length)]!;
    return Buffer.concat([input.subarray(0, random(input.length + 1)), other.subarray(random(other.length + 1))]);
  },
];

/** A few mutations of one of the inputs, at most 1 MiB. */
export function mutate(corpus: readonly Buffer[], random: Random): Buffer {
  let input = corpus[random(corpus.length)]!;
  for (let n = 1 + random(4); n > 0; n--) {
    const wellFormed = random(2) === 0 ? mutateJson(input, random) : null;
    input = wellFormed ?? mutations[random(mutations.length)]!(input, random, corpus);
  }
  return input.subarray(0, mostBytes);
}
