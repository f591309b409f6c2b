import type { DocumentSource } from '@longhaul/core/contracts';
import type { Files } from '@longhaul/core/files';
import { allows, forbiddenSource } from '@longhaul/core/openai';
import type { ApiSettings } from './settings.ts';

export interface SourceParts {
  readonly settings: Pick<ApiSettings, 'sources'>;
  readonly files: Files;
}

/**
 * Whether the tenant may have this document read.
 * @throws InvalidBody naming what is allowed; LonghaulError `file_not_found`
 */
export async function checkSource(
  { settings, files }: SourceParts,
  tenant: string,
  source: DocumentSource,
): Promise<void> {
  if (!allows(settings.sources, tenant, source)) throw forbiddenSource(settings.sources, tenant);
  // `inputs/files/{tenant}/{id}`, made of the caller's own tenant.
  for (const one of source.kind === 'joined' ? source.parts : [source]) {
    if (one.kind === 'stored') await files.head(tenant, one.key.split('/').at(-1)!);
  }
}
