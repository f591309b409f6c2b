// Block formats of GGUF that the peer reads: each encoder takes a whole number of blocks.

export interface GgufType {
  readonly id: number;
  readonly block: number;
  readonly bytes: number;
  readonly encode: (values: Float32Array, bits: Uint16Array) => Uint8Array;
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The nearest f16, half to even; no NaN comes here. */
export function toF16(value: number): number {
  float[0] = value;
  const bits = word[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(float[0]);
  if (magnitude >= 65520) return sign | 0x7c00;
  // Subnormals: multiples of 2^-24. Scaling by a power of two is exact, so one rounding is left.
  if (magnitude < 2 ** -14) return sign | roundEven(magnitude * 2 ** 24);
  const exponent = ((bits >>> 23) & 255) - 112;
  const mantissa = bits & 0x7fffff;
  return sign | ((exponent << 10) + roundEven(mantissa / 8192));
}

export function fromF16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15));
}

function roundEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

function f16(values: Float32Array): Uint8Array {
  return new Uint8Array(Uint16Array.from(values, toF16).buffer);
}

/** 32 values: d as f16, 32 int8. */
function q8(values: Float32Array): Uint8Array {
  const out = new Uint8Array((values.length / 32) * 34);
  const view = new DataView(out.buffer);
  for (let b = 0, at = 0; b < values.length; b += 32, at += 34) {
    let most = 0;
    for (let i = 0; i < 32; i++) most = Math.max(most, Math.abs(values[b + i]!));
    const d = most / 127;
    view.setUint16(at, toF16(d), true);
    for (let i = 0; i < 32; i++) view.setInt8(at + 2 + i, d === 0 ? 0 : Math.round(values[b + i]! / d));
  }
  return out;
}

/** 32 values: d as f16, 16 bytes, value i low and value i + 16 high; x = d (q - 8). */
function q4(values: Float32Array): Uint8Array {
  const out = new Uint8Array((values.length / 32) * 18);
  const view = new DataView(out.buffer);
  for (let b = 0, at = 0; b < values.length; b += 32, at += 18) {
    let most = 0;
    for (let i = 0; i < 32; i++) if (Math.abs(values[b + i]!) > Math.abs(most)) most = values[b + i]!;
    const d = most / -8;
    view.setUint16(at, toF16(d), true);
    const q = (i: number) => (d === 0 ? 8 : Math.min(15, Math.trunc(values[b + i]! / d + 8.5)));
    for (let i = 0; i < 16; i++) out[at + 2 + i] = q(i) | (q(i + 16) << 4);
  }
  return out;
}

/** 256 values: low nibbles, high pairs of bits, 16 int8 scales, d as f16; x = d scale (q - 32). */
function q6(values: Float32Array): Uint8Array {
  const out = new Uint8Array((values.length / 256) * 210);
  const view = new DataView(out.buffer);
  const q = new Uint8Array(256);
  for (let b = 0, at = 0; b < values.length; b += 256, at += 210) {
    const parts = new Float64Array(16);
    for (let i = 0; i < 256; i++) parts[i >> 4] = Math.max(parts[i >> 4]!, Math.abs(values[b + i]!) / 31);
    const d = Math.max(...parts) / 127;
    for (let part = 0; part < 16; part++) {
      const scale = d === 0 ? 0 : Math.round(parts[part]! / d);
      view.setInt8(at + 192 + part, scale);
      for (let i = 16 * part; i < 16 * part + 16; i++)
        q[i] = scale === 0 ? 32 : Math.max(-32, Math.min(31, Math.round(values[b + i]! / (d * scale)))) + 32;
    }
    for (let half = 0; half < 2; half++)
      for (let i = 0; i < 32; i++) {
        const [a, c, e, f] = [0, 32, 64, 96].map((step) => q[128 * half + i + step]!) as [
          number,
          number,
          number,
          number,
        ];
        out[at + 64 * half + i] = (a & 15) | ((e & 15) << 4);
        out[at + 64 * half + i + 32] = (c & 15) | ((f & 15) << 4);
        out[at + 128 + 32 * half + i] = (a >> 4) | ((c >> 4) << 2) | ((e >> 4) << 4) | ((f >> 4) << 6);
      }
    view.setUint16(at + 208, toF16(d), true);
  }
  return out;
}

export const ggufTypes = {
  f32: {
    id: 0,
    block: 1,
    bytes: 4,
    encode: (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  },
  f16: { id: 1, block: 1, bytes: 2, encode: f16 },
  bf16: {
    id: 30,
    block: 1,
    bytes: 2,
    encode: (_, bits) => new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength),
  },
  Q8_0: { id: 8, block: 32, bytes: 34, encode: q8 },
  Q4_0: { id: 2, block: 32, bytes: 18, encode: q4 },
  Q6_K: { id: 14, block: 256, bytes: 210, encode: q6 },
} as const satisfies Record<string, GgufType>;
