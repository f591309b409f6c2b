import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';

/** Where both programs of Prometheus are. */
export interface PrometheusPrograms {
  readonly prometheus: string;
  readonly promtool: string;
}

/** Where `node scripts/setup.mjs --test` puts them. */
const cached = path.join(import.meta.dirname, '..', '..', '..', '.cache', 'prometheus');

/** Says what to type; the reason of every test and check that is skipped for the want of them. */
export const noPrometheus =
  'no prometheus and promtool found: type "node scripts/setup.mjs --test", or set LONGHAUL_TEST_PROMETHEUS to their folder';

/**
 * Looks in the folder that LONGHAUL_TEST_PROMETHEUS names, else in PATH, else in what the set-up unpacked; both programs
 * come from one place, so that they are of one version. Null where there is none; a named folder without them is an error.
 */
export async function findPrometheus(
  env: Readonly<Record<string, string | undefined>>,
): Promise<PrometheusPrograms | null> {
  const named = env['LONGHAUL_TEST_PROMETHEUS'] ?? '';
  if (named !== '') {
    const programs = await programsIn(named);
    if (programs === null) {
      throw new Error(`LONGHAUL_TEST_PROMETHEUS=${named} is to be a folder with prometheus and promtool in it`);
    }
    return programs;
  }
  const dirs = (env['PATH'] ?? '').split(path.delimiter).filter((dir) => dir !== '');
  for (const dir of [...dirs, cached]) {
    const programs = await programsIn(dir);
    if (programs !== null) return programs;
  }
  return null;
}

async function programsIn(dir: string): Promise<PrometheusPrograms | null> {
  const programs = { prometheus: path.join(dir, 'prometheus'), promtool: path.join(dir, 'promtool') };
  const there = await Promise.all(
    Object.values(programs).map((file) =>
      access(file, constants.X_OK)
        .then(() => true)
        .catch(() => false),
    ),
  );
  return there.every(Boolean) ? programs : null;
}
