import { describeError } from '@longhaul/core/contracts';
import type { Finding } from '../finding.ts';
import { type Manifest, nameOf } from '../manifest.ts';

interface Checkable {
  validate(): void | Promise<void>;
}
type ModelClass = new (data: unknown) => Checkable;

const keda = 'keda.sh/';

/** The class of the published schema of a kind; null where none is published in the packages here. */
async function modelOf({ apiVersion, kind }: Manifest): Promise<ModelClass | null> {
  const from = apiVersion.startsWith(keda) ? '@kubernetes-models/keda' : 'kubernetes-models';
  try {
    const models: Record<string, unknown> = await import(`${from}/${apiVersion}`);
    const found = models[kind];
    return typeof found === 'function' ? (found as ModelClass) : null;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return null;
    throw error;
  }
}

/** Types and required fields, by the schema that Kubernetes or KEDA publishes. Null: there is none for this kind. */
export async function againstPublished(manifest: Manifest): Promise<readonly Finding[] | null> {
  const Model = await modelOf(manifest);
  if (Model === null) return null;
  try {
    await new Model(manifest).validate();
    return [];
  } catch (error) {
    return [{ rule: 'schema', object: nameOf(manifest), text: describeError(error) }];
  }
}
