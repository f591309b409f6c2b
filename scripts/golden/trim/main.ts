import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { readSafetensors, writeSafetensors } from '../safetensors.ts';

const usage = `trim: copies golden folders without what the engine's face cannot give

  node scripts/golden/trim/main.ts OUT DIR [DIR...]

Dropped from goldens.safetensors: *.native and *.native_positions (pure bf16 compute), *.hidden.* and *.layerI.*
(inner activations). Everything else is copied byte for byte. manifest.json gains "trimmed": the digest of the
original file and the names dropped; its "sha256" and "tensors" follow the trimmed file.`;

const Manifest = z.looseObject({
  name: z.string(),
  tensors: z.record(z.string(), z.unknown()),
  sha256: z.record(z.string(), z.string()),
});

const dropped = /\.native$|\.native_positions$|\.hidden\.|\.layer\d+\./;

async function trim(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    if (name !== 'goldens.safetensors' && name !== 'manifest.json') await cp(join(from, name), join(to, name));
  }
  const original = await readFile(join(from, 'goldens.safetensors'));
  const manifest = Manifest.parse(JSON.parse(await readFile(join(from, 'manifest.json'), 'utf8')));
  const file = readSafetensors(original);
  const names = [...file.tensors.keys()];
  const kept = new Map([...file.tensors].filter(([name]) => !dropped.test(name)));
  const trimmed = writeSafetensors({ tensors: kept, metadata: file.metadata });
  const after = {
    ...manifest,
    tensors: Object.fromEntries(Object.entries(manifest.tensors).filter(([name]) => !dropped.test(name))),
    sha256: { ...manifest.sha256, 'goldens.safetensors': sha256(trimmed) },
    trimmed: { original_sha256: sha256(original), dropped: names.filter((name) => dropped.test(name)) },
  };
  await writeFile(join(to, 'goldens.safetensors'), trimmed);
  await writeFile(join(to, 'manifest.json'), `${JSON.stringify(after, null, 1)}\n`);
  console.log(`${basename(from)}: ${original.byteLength} -> ${trimmed.byteLength} bytes`);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const [out, ...dirs] = process.argv.slice(2);
if (out === undefined || out === '--help' || dirs.length === 0) {
  console.log(usage);
  process.exitCode = out === '--help' ? 0 : 2;
} else {
  for (const dir of dirs) await trim(dir, join(out, basename(dir)));
}
