import { z } from 'zod';
import { Sha256 } from '../contracts/head.ts';
import { Tenant } from '../contracts/job.ts';

/** `file-` and 26 to 40 of `[0-9a-z]`: safe in an object key and a URL. Ids of uploads sort by the moment they were made in. */
export const FileId = z.string().regex(/^file-[0-9a-z]{26,40}$/, 'a file id is file- and 26 to 40 of 0-9 a-z');
export type FileId = z.infer<typeof FileId>;

/** What a file is for, in OpenAI's words; the store makes no difference between them. */
export const FilePurpose = z.enum(['batch', 'batch_output', 'user_data']);
export type FilePurpose = z.infer<typeof FilePurpose>;

/** The name that people gave a file: shown to them, and no path of ours. */
export const FileName = z
  .string()
  .min(1)
  .max(255)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a header or a terminal would act on is refused
  .regex(/^[^\u0000-\u001f\u007f/\\]+$/, 'a file name has no /, \\ or control characters');

/** `files/{tenant}/{id}.json`, put once, behind the content. */
export const FileRecord = z.strictObject({
  v: z.literal(1),
  id: FileId,
  tenant: Tenant,
  bytes: z.number().int().nonnegative(),
  sha256: Sha256,
  filename: FileName,
  purpose: FilePurpose,
  createdAt: z.iso.datetime(),
});
export type FileRecord = z.infer<typeof FileRecord>;

export const fileKeys = {
  records: (tenant: string) => `files/${tenant}/`,
  record: (tenant: string, id: FileId) => `files/${tenant}/${id}.json`,
} as const;

/** Below `inputs/`, so that jobs may read it as a stored document; the sweep of inputs leaves it alone. */
export const fileContents = 'inputs/files/';

export function fileContentKey(tenant: string, id: FileId): string {
  return `${fileContents}${tenant}/${id}`;
}
