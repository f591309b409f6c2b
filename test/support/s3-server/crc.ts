/** CRC-32C (Castagnoli), reflected polynomial 0x82f63b78. */
const crc32cTable = Int32Array.from({ length: 256 }, (_, i) => {
  let c = i;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c;
});

export function crc32c(data: Uint8Array, seed: number): number {
  let c = ~seed;
  for (let i = 0; i < data.length; i++) c = (c >>> 8) ^ crc32cTable[(c ^ data[i]!) & 0xff]!;
  return ~c >>> 0;
}

/** CRC-64/NVME, reflected polynomial 0x9a6c9329ac4bc9b5, kept as two 32-bit halves because BigInt is slow. */
const crc64High = new Int32Array(256);
const crc64Low = new Int32Array(256);
for (let i = 0; i < 256; i++) {
  let high = 0;
  let low = i;
  for (let k = 0; k < 8; k++) {
    const odd = low & 1;
    low = (low >>> 1) | (high << 31);
    high = high >>> 1;
    if (odd) {
      high ^= 0x9a6c9329;
      low ^= 0xac4bc9b5;
    }
  }
  crc64High[i] = high;
  crc64Low[i] = low;
}

export class Crc64Nvme {
  private high = -1;
  private low = -1;

  update(data: Uint8Array): void {
    let { high, low } = this;
    for (let i = 0; i < data.length; i++) {
      const slot = (low ^ data[i]!) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ crc64Low[slot]!;
      high = (high >>> 8) ^ crc64High[slot]!;
    }
    this.high = high;
    this.low = low;
  }

  digest(): Buffer {
    const out = Buffer.alloc(8);
    out.writeInt32BE(~this.high, 0);
    out.writeInt32BE(~this.low, 4);
    return out;
  }
}
