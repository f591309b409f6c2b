import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { RetryableFailure } from '@longhaul/core/contracts';
import fc from 'fast-check';
import { bring } from '../../core/models/bring/bring.ts';
import type { PartSource } from '../../core/models/part-source.ts';
import { PartWork } from '../../core/models/parts/work.ts';
import { noise } from '../support/models.ts';

const partBytes = 4096;
const sha256 = (body: Uint8Array) => createHash('sha256').update(body).digest('hex');

/** What a source does to one answer: sends some of it and breaks, sends a wrong byte, or sends it in pieces. */
const Deed = fc.record({
  kind: fc.constantFrom('whole', 'whole', 'whole', 'break', 'flip'),
  at: fc.nat(partBytes),
  piece: fc.integer({ min: 1, max: 5000 }),
});
const Case = fc.record({
  sizes: fc.array(fc.nat(5 * partBytes), { minLength: 1, maxLength: 4 }),
  deeds: fc.array(Deed, { maxLength: 40 }),
  /** Parts after which the attempt is broken off, one attempt each. */
  cuts: fc.array(fc.nat(12), { maxLength: 4 }),
  inFlight: fc.integer({ min: 1, max: 8 }),
  told: fc.boolean(),
});

test('whatever breaks, no part is announced before it is right, and the last attempt ends with the files', async () => {
  await fc.assert(
    fc.asyncProperty(Case, async ({ sizes, deeds, cuts, inFlight, told }) => {
      const dir = await mkdtemp(join(tmpdir(), 'longhaul-pull-'));
      try {
        const bodies = new Map(sizes.map((bytes, i) => [`model-${i}.safetensors`, noise(`${i}/${bytes}`, bytes)]));
        const partOf = (name: string, part: number) =>
          bodies.get(name)!.subarray(part * partBytes, (part + 1) * partBytes);
        const files = [...bodies].map(([name, body]) => {
          const count = Math.ceil(body.length / partBytes);
          const parts = told ? Array.from({ length: count }, (_, part) => sha256(partOf(name, part))) : null;
          return { name, bytes: body.length, sha256: sha256(body), parts };
        });
        const wrong: string[] = [];
        const left = [...deeds];
        // Without digests of parts a wrong byte is found with the file, which ends the attempt.
        const source: PartSource = {
          url: 'test:',
          async *openRange({ name }, { from, end }) {
            const deed = left.shift() ?? { kind: 'whole', at: 0, piece: 4096 };
            const sent = Buffer.from(bodies.get(name)!.subarray(from, end));
            if (deed.kind === 'flip') sent[deed.at % sent.length]! ^= 1;
            const stop = deed.kind === 'break' ? deed.at % sent.length : sent.length;
            for (let at = 0; at < stop; at += deed.piece) yield sent.subarray(at, Math.min(stop, at + deed.piece));
            if (deed.kind === 'break') throw new RetryableFailure('store_unavailable', 'broken');
          },
          close: async () => {},
        };
        const attempt = async (cut: number | null) => {
          const stop = new AbortController();
          const pool = new PartWork(source);
          let seen = 0;
          const bringing = bring({ files, partBytes, dir, pool, digests: pool, inFlight, signal: stop.signal });
          bringing.arrivals.listen({
            onPart: (name, part) => {
              seen += 1;
              const right = sha256(bytesAt(join(dir, name), part)) === sha256(partOf(name, part));
              if (told && !right) wrong.push(`${name} ${part}`);
              if (seen === cut) stop.abort(new Error('cut'));
            },
            onFailure: () => {},
          });
          await bringing.verified;
        };
        for (const cut of cuts) await attempt(cut).catch(() => {});
        // Three wrong answers for one part end an attempt; the source comes to its senses at some time.
        for (let tries = 0; left.length > 0 && tries < deeds.length; tries++) await attempt(null).catch(() => {});
        left.length = 0;
        await attempt(null).catch(() => {});
        await attempt(null);
        assert.deepEqual(wrong, [], 'parts that were announced and were not right');
        for (const [name, body] of bodies) assert.ok(body.equals(await readFile(join(dir, name))), name);
      } finally {
        await rm(dir, { recursive: true, force: true });
      }
    }),
    { numRuns: 40 },
  );
});

function bytesAt(path: string, part: number): Buffer {
  const fd = openSync(path, 'r');
  const buffer = Buffer.alloc(partBytes);
  const n = readSync(fd, buffer, 0, partBytes, part * partBytes);
  closeSync(fd);
  return buffer.subarray(0, n);
}
