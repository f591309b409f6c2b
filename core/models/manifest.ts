import { createHash } from 'node:crypto';
import { z } from 'zod';
import { ModelName } from '../contracts/job.ts';

const MiB = 2 ** 20;

/** Hard bounds on what a manifest may say, each far above any model that is read. */
export const modelLimits = {
  manifestBytes: 64 * MiB,
  files: 512,
  fileBytes: 2 ** 40,
  partBytes: { least: MiB, usual: 8 * MiB, most: 64 * MiB },
  /** Bytes of a file that is held in memory whole: configuration and tokenizer, not weights. */
  smallBytes: 64 * MiB,
} as const;

export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits');

/** One name without a slash and without a dot at its beginning: joined to a directory it stays below it. */
export const ModelFileName = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$/, 'must be one plain name of A-Z a-z 0-9 . _ -')
  .refine((name) => name !== manifestName, `must not be ${'model.json'}, which is the manifest`);

export const manifestName = 'model.json';

export const ModelFile = z.strictObject({
  name: ModelFileName,
  bytes: z.int().min(0).max(modelLimits.fileBytes),
  sha256: Sha256,
  /** sha256 of each part, in their order, so that parts are checked side by side and as they come. */
  parts: z.array(Sha256),
});
export type ModelFile = z.infer<typeof ModelFile>;

/** What a state must match to be of the model, as the engine says it. */
export const ModelFingerprint = z.strictObject({
  digest: Sha256,
  tokenizerDigest: z.string().max(128),
  shape: z.strictObject({ nLayer: z.int(), dInner: z.int(), dConv: z.int(), dState: z.int() }),
});
export type ModelFingerprint = z.infer<typeof ModelFingerprint>;

export const ModelSource = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('directory') }),
  z.strictObject({
    kind: z.literal('hub'),
    repo: z.string().max(200),
    /** The commit that the revision was when it was read. */
    commit: z.string().regex(/^[0-9a-f]{40}$/),
  }),
]);
export type ModelSource = z.infer<typeof ModelSource>;

/** `model.json`: the files of one version of a model. Nothing in it is believed: every digest is checked by who reads. */
export const ModelManifest = z
  .strictObject({
    v: z.literal(1),
    name: ModelName,
    partBytes: z.int().min(modelLimits.partBytes.least).max(modelLimits.partBytes.most),
    files: z.array(ModelFile).min(1).max(modelLimits.files),
    /** Null where no engine was at hand when the model was pushed. */
    fingerprint: ModelFingerprint.nullable(),
    source: ModelSource,
    createdAt: z.iso.datetime(),
  })
  .superRefine(({ files, partBytes }, context) => {
    const names = new Set<string>();
    for (const [i, { name, bytes, parts }] of files.entries()) {
      const refuse = (field: string, message: string) =>
        context.addIssue({ code: 'custom', path: ['files', i, field], message });
      if (names.has(name.toLowerCase())) refuse('name', `${name} is there twice`);
      names.add(name.toLowerCase());
      const expected = partCount(bytes, partBytes);
      if (parts.length !== expected)
        refuse('parts', `${name} of ${bytes} bytes has ${expected} parts, found ${parts.length}`);
    }
  });
export type ModelManifest = z.infer<typeof ModelManifest>;

export function partCount(bytes: number, partBytes: number): number {
  return Math.ceil(bytes / partBytes);
}

export function totalBytes(files: readonly { readonly bytes: number }[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * The version: sha256 (hex) over name, bytes and sha256 of every file, sorted by name. It says all that the files hold,
 * wherever they come from: a version pushed twice, or once from the hub and once from a directory, is one version.
 */
export function versionDigest(files: readonly Pick<ModelFile, 'name' | 'bytes' | 'sha256'>[]): string {
  const lines = files
    .map(({ name, bytes, sha256 }) => `${sha256} ${bytes} ${name}\n`)
    .sort((a, b) => (a.slice(65) < b.slice(65) ? -1 : 1));
  return createHash('sha256').update('longhaul model 1\n').update(lines.join('')).digest('hex');
}

const wanted =
  /^(config\.json|generation_config\.json|tokenizer[\w-]*\.json|special_tokens_map\.json|added_tokens\.json|vocab\.json|merges\.txt|chat_template\.(jinja|json)|model[\w-]*\.safetensors(\.index\.json)?|README\.md|LICENSE[\w.-]*|NOTICE[\w.-]*)$/;

/** Whether a file belongs to a model as longhaul reads it: other formats of the same weights stay where they are. */
export function isModelFile(name: string): boolean {
  return wanted.test(name);
}

export const isWeights = (name: string): boolean => name.endsWith('.safetensors');
