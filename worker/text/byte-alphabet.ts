/**
 * ByteLevel's alphabet: every byte has a printable character, so that a vocabulary can be written as text. Printable
 * Latin-1 bytes stand for themselves, the other 68 for U+0100 onwards, in byte order.
 */
const charOfByte: readonly string[] = (() => {
  const chars: string[] = [];
  let next = 0x100;
  for (let b = 0; b < 256; b++) {
    const printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
    chars.push(String.fromCharCode(printable ? b : next++));
  }
  return chars;
})();

const byteOfChar: ReadonlyMap<string, number> = new Map(charOfByte.map((c, b) => [c, b]));

export function alphabetChar(byte: number): string {
  return charOfByte[byte]!;
}

/** The bytes that a vocabulary entry stands for; null where it has a character outside the alphabet. */
export function alphabetBytes(entry: string): Buffer | null {
  const bytes = Buffer.alloc(entry.length);
  for (let i = 0; i < entry.length; i++) {
    const byte = byteOfChar.get(entry[i]!);
    if (byte === undefined) return null;
    bytes[i] = byte;
  }
  return bytes;
}
