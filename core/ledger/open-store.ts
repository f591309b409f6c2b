import { fileURLToPath } from 'node:url';
import { LonghaulError } from '../contracts/errors.ts';
import { openFileStore } from './file-store.ts';
import type { ObjectStore } from './object-store.ts';
import { StoreConfig, type StoreOptions, StoreUrl } from './store-config.ts';

/** Opens `file:///directory` (made where it is missing) or `s3://bucket/prefix`. A bad setting is `invalid_config`. */
export async function openStore(url: string, options: StoreOptions = {}): Promise<ObjectStore> {
  if (!StoreUrl.safeParse(url).success) {
    throw new LonghaulError(
      'invalid_config',
      `a store is file:///directory or s3://bucket/prefix; found ${JSON.stringify(url)}`,
    );
  }
  const parsed = StoreConfig.safeParse(options);
  if (!parsed.success) {
    // Credentials are settings too: values found stay out of the message.
    const issue = parsed.error.issues[0]!;
    throw new LonghaulError('invalid_config', `store setting ${issue.path.join('.') || 'object'}: ${issue.message}`);
  }
  if (url.startsWith('s3:')) {
    // Loaded where it is needed: the SDK takes a good part of a command's start.
    const { openS3Store } = await import('./s3-store.ts');
    return openS3Store(url, parsed.data);
  }
  let directory: string;
  try {
    directory = fileURLToPath(url);
  } catch (error) {
    throw new LonghaulError('invalid_config', `store setting url: ${JSON.stringify(url)} is no path`, { cause: error });
  }
  return await openFileStore(directory);
}
