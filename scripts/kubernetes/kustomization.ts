import { z } from 'zod';

const Pairs = z.record(z.string(), z.string());

const Replacement = z.strictObject({
  source: z.strictObject({ kind: z.string(), name: z.string(), fieldPath: z.string() }),
  targets: z.array(
    z.strictObject({
      select: z.strictObject({ kind: z.string(), name: z.string() }),
      fieldPaths: z.array(z.string()).min(1),
      options: z.strictObject({ delimiter: z.string().length(1), index: z.int().nonnegative() }).optional(),
    }),
  ),
});
export type Replacement = z.infer<typeof Replacement>;

const Patch = z.strictObject({
  path: z.string().optional(),
  patch: z.string().optional(),
  target: z.strictObject({ kind: z.string(), name: z.string().optional() }).optional(),
});
export type Patch = z.infer<typeof Patch>;

const Image = z.strictObject({
  name: z.string(),
  newName: z.string().optional(),
  newTag: z.string().optional(),
  digest: z.string().optional(),
});
export type Image = z.infer<typeof Image>;

/** The part of kustomize that is used here; any other field is refused by name. Orders are kustomize's own. */
export const Kustomization = z.strictObject({
  apiVersion: z.enum(['kustomize.config.k8s.io/v1beta1', 'kustomize.config.k8s.io/v1alpha1']),
  kind: z.enum(['Kustomization', 'Component']),
  resources: z.array(z.string()).default([]),
  components: z.array(z.string()).default([]),
  configMapGenerator: z
    .array(
      z.strictObject({
        name: z.string(),
        namespace: z.string(),
        files: z.array(z.string()).default([]),
        literals: z.array(z.string()).default([]),
      }),
    )
    .default([]),
  generatorOptions: z.strictObject({ disableNameSuffixHash: z.literal(true), labels: Pairs.default({}) }).optional(),
  patches: z.array(Patch).default([]),
  labels: z.array(z.strictObject({ pairs: Pairs })).default([]),
  images: z.array(Image).default([]),
  replacements: z.array(Replacement).default([]),
});
export type Kustomization = z.infer<typeof Kustomization>;
