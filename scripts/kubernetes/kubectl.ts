import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parseManifests } from './kustomize.ts';
import type { Manifest } from './manifest.ts';

const run = promisify(execFile);

/** The version of the kustomize in kubectl; null where there is no kubectl. Never speaks with a cluster. */
export async function kubectlKustomize(): Promise<string | null> {
  try {
    const { stdout } = await run('kubectl', ['version', '--client', '--output=json']);
    const told: unknown = JSON.parse(stdout);
    if (typeof told !== 'object' || told === null || !('kustomizeVersion' in told)) return null;
    return String(told.kustomizeVersion);
  } catch {
    return null;
  }
}

export async function kubectlRender(dir: string): Promise<readonly Manifest[]> {
  const { stdout } = await run('kubectl', ['kustomize', dir], { maxBuffer: 64 * 1024 * 1024 });
  return parseManifests(stdout, `kubectl kustomize ${dir}`);
}
