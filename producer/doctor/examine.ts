import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError, errorCode } from '@longhaul/core/contracts';
import { openStore, probeStore } from '@longhaul/core/ledger';
import { findRedisServer } from '@longhaul/core/redis';
import { type Config, parseConfig } from '../config.ts';
import type { CommandContext } from '../context.ts';
import { dataDir, fileStoreUrl, isDirectory } from '../home.ts';
import { findModel } from '../model-dir.ts';
import { findProgram, programMissing } from '../programs.ts';
import { isRunning } from '../up/process-identity.ts';
import { readUpFile } from '../up/up-file.ts';
import { askEngine } from './ask-engine.ts';
import { readRedisFacts } from './redis-facts.ts';

/** One row of `longhaul doctor`. `missing` is required and absent or broken; `remedy` is null where all is well. */
export interface Finding {
  readonly name: string;
  readonly status: 'ok' | 'warn' | 'missing';
  readonly found: string;
  readonly remedy: string | null;
}

export interface DoctorOptions {
  readonly data?: string;
  readonly model?: string;
}

const redisRemedy =
  'sudo apt-get update && sudo apt-get install -y --no-install-recommends redis-server (or set LONGHAUL_REDIS_URL)';

export async function examine(options: DoctorOptions, context: CommandContext): Promise<readonly Finding[]> {
  const config = parseConfig(context.env);
  const dir = dataDir(config, options.data, context.cwd);
  const [redis, store, model, cpu] = await Promise.all([
    examineRedis(config, dir, context),
    examineStore(config, dir),
    examineModel(options.model ?? config.model, context),
    examineCpu(),
  ]);
  return [examineNode(context.nodeVersion), redis, store, ...model, cpu];
}

function examineNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const fits = major > 22 || (major === 22 && minor >= 18);
  return finding(
    'node',
    fits ? 'ok' : 'missing',
    version,
    fits ? null : 'install Node >= 22.18, or run npm ci in the repository',
  );
}

async function examineRedis(config: Config, dir: string, { env }: CommandContext): Promise<Finding> {
  const up = await readUpFile(dir).catch(() => null);
  const runs = up?.running === true && (await isRunning(up.pid, up.start));
  const url = config.redisUrl ?? (runs ? up.redisUrl : null);
  if (url === null) {
    try {
      return finding('redis', 'ok', `${await findRedisServer(env)}, started by \`longhaul up\``, null);
    } catch (error) {
      return finding('redis', 'missing', describeError(error), redisRemedy);
    }
  }
  const { host } = new URL(url);
  try {
    const { version, evictionPolicy } = await readRedisFacts(url, 3000);
    const found = `${host} answers, version ${version}, eviction policy ${evictionPolicy || 'unknown'}`;
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major < 6 || (major === 6 && minor < 2))
      return finding('redis', 'missing', found, 'use Redis >= 6.2 or Valkey');
    if (evictionPolicy !== 'noeviction') {
      return finding('redis', 'warn', found, 'set maxmemory-policy noeviction: an evicted key is a lost queue entry');
    }
    return finding('redis', 'ok', found, null);
  } catch (error) {
    return finding(
      'redis',
      'missing',
      `${host} does not answer: ${describeError(error)}`,
      'start it, or correct LONGHAUL_REDIS_URL',
    );
  }
}

async function examineStore(config: Config, dir: string): Promise<Finding> {
  const up = await readUpFile(dir).catch(() => null);
  const url = config.storeUrl ?? up?.storeUrl ?? fileStoreUrl(dir);
  // A look must not leave a directory behind where none was.
  const made = url === fileStoreUrl(dir) ? await firstMissing(join(dir, 'store')) : null;
  try {
    const store = await openStore(url, config.s3);
    try {
      await probeStore(store);
    } finally {
      await store.close();
      if (made !== null) await rm(made, { recursive: true, force: true });
    }
    return finding('store', 'ok', `${url} keeps conditional writes`, null);
  } catch (error) {
    const remedy = {
      store_unsafe: 'use a store with conditional writes (If-Match, If-None-Match)',
      store_denied: 'give these credentials GetObject, PutObject, DeleteObject and ListBucket on it',
    };
    const code = errorCode(error) as keyof typeof remedy;
    return finding(
      'store',
      'missing',
      `${url}: ${describeError(error)}`,
      remedy[code] ?? 'correct LONGHAUL_STORE and LONGHAUL_S3_*',
    );
  }
}

/** The topmost directory of a path that does not exist; null where all do. */
async function firstMissing(path: string): Promise<string | null> {
  if (await isDirectory(path)) return null;
  return (await firstMissing(dirname(path))) ?? path;
}

async function examineModel(asked: string | null, context: CommandContext): Promise<readonly Finding[]> {
  let dir: string | null = null;
  let model: Finding;
  try {
    const found = await findModel(asked, context.cwd);
    dir = found.dir;
    model = finding('model', 'ok', `${found.name} in ${dir}`, null);
  } catch (error) {
    model = finding('model', 'missing', describeError(error), 'give --model DIR, or put a model below models/');
  }
  const program = findProgram('worker');
  if (program === null) {
    return [
      model,
      finding('engine', 'warn', 'no worker package', `${programMissing('worker')}; producers do not need it`),
    ];
  }
  const engine = await askEngine(program, dir, context);
  if (engine.kind === 'failed') {
    return [model, finding('engine', 'missing', engine.reason, 'npm run build makes the native engine')];
  }
  const { answer } = engine;
  const { isa, cores, cuda } = answer.engine;
  const rows = [finding('engine', 'ok', `${isa}, ${cores} cores`, null)];
  const cudaWorks = /^(ok|available|cuda|[0-9]+ device)/i.test(cuda);
  rows.push(
    finding(
      'cuda',
      cudaWorks ? 'ok' : 'warn',
      cuda,
      cudaWorks ? null : 'the engine runs on the CPU; CUDA needs a build with it, a driver and a device',
    ),
  );
  if (answer.model !== null && dir !== null) {
    model = answer.model.ok
      ? finding('model', 'ok', `${dir}: ${answer.model.summary ?? 'loads'}`, null)
      : finding(
          'model',
          'missing',
          `${dir}: ${answer.model.code}: ${answer.model.message}`,
          'fetch the model again, or take another one',
        );
  }
  return [model, ...rows];
}

async function examineCpu(): Promise<Finding> {
  const text = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  const field = (name: RegExp) => name.exec(text)?.[1]?.trim() ?? '';
  const flags = new Set(field(/^(?:flags|Features)\s*:(.*)$/m).split(/\s+/));
  const wanted = ['avx2', 'fma', 'f16c', 'avx512f', 'avx512_bf16', 'amx_bf16', 'asimd', 'bf16', 'sve'];
  const has = wanted.filter((flag) => flags.has(flag));
  const name = field(/^model name\s*:(.*)$/m) || 'unknown CPU';
  const fast = flags.has('avx2') || flags.has('asimd');
  return finding(
    'cpu',
    fast ? 'ok' : 'warn',
    `${name}: ${has.join(' ') || 'no vector features known to us'}`,
    fast ? null : 'a CPU with AVX2 is several times faster',
  );
}

function finding(name: string, status: Finding['status'], found: string, remedy: string | null): Finding {
  return { name, status, found, remedy };
}
