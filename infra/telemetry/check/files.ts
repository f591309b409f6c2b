import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseDocument } from 'yaml';

export const repository = path.join(import.meta.dirname, '..', '..', '..');

/** `infra/telemetry`. */
export const telemetryDir = path.join(repository, 'infra', 'telemetry');

export async function readText(...segments: readonly string[]): Promise<string> {
  return await readFile(path.join(repository, ...segments), 'utf8');
}

/** One YAML document; a key that stands twice, and all else that YAML forbids, is an error that names the file. */
export async function readYaml(...segments: readonly string[]): Promise<unknown> {
  const document = parseDocument(await readText(...segments), { uniqueKeys: true });
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) throw new Error(`${segments.join('/')}: ${fault.message}`);
  return document.toJS();
}
