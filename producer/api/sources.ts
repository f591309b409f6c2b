import type { DocumentSource } from '@longhaul/core/contracts';
import type { Files } from '@longhaul/core/files';
import { ApiError } from './errors.ts';
import type { ApiSettings } from './settings.ts';
import { allows } from './source-policy.ts';
import { shown } from './validation.ts';

export interface SourceParts {
  readonly settings: Pick<ApiSettings, 'sources'>;
  readonly files: Files;
}

/**
 * Whether the tenant may have this document read. What a worker's credentials may read is more than what a tenant may,
 * the store of all tenants first of all: so nothing but what the settings name.
 * @throws ApiError 400 `source_forbidden`; LonghaulError `file_not_found`
 */
export async function checkSource(
  { settings, files }: SourceParts,
  tenant: string,
  source: DocumentSource,
): Promise<void> {
  if (source.kind === 'inline' || source.kind === 'tokens') return;
  if (source.kind === 'stored') {
    // `inputs/files/{tenant}/{id}`, made of the caller's own tenant.
    await files.head(tenant, source.key.split('/').at(-1)!);
    return;
  }
  if (allows(settings.sources, tenant, source)) return;
  const allowed = settings.sources.map(({ text }) => text.replaceAll('{tenant}', tenant)).join(', ');
  const rule = allowed === '' ? 'no documents are read in place here' : `documents are read in place below ${allowed}`;
  throw new ApiError(400, `${rule}; found ${shown(urlOf(source))}. Upload it with POST /v1/files`, {
    param: 'input_ref',
    code: 'source_forbidden',
  });
}

function urlOf(source: DocumentSource): string {
  switch (source.kind) {
    case 's3':
      return `s3://${source.bucket}/${source.key}`;
    case 'https':
      return source.url;
    case 'file':
      return `file://${source.path}`;
    default:
      return source.kind;
  }
}
