import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, describeError, type Environment } from '@longhaul/core/contracts';
import { z } from 'zod';
import type { EndedWorker, LaunchedWorker, ListedWorker, StartOutcome, StartRequest, WorkerLauncher } from '../port.ts';

export interface ProcessLauncherOptions {
  /** Claims and logs of the workers; one for all controllers of this machine. */
  readonly dir: string;
  /** The program of a worker and its arguments. */
  readonly command: readonly string[];
  /** Environment of a worker of the model. */
  readonly envOf: (model: string) => Environment;
  readonly clock: Clock;
}

/** What a worker left when it began. Whoever links it runs the worker: the others of the same name end at once. */
const Claim = z.object({
  model: z.string(),
  market: z.enum(['spot', 'on-demand']),
  startedAt: z.number(),
  pid: z.number().int().positive(),
  /** Clock ticks since boot: a pid that was given to another process is told apart. */
  ticks: z.string(),
});
type Claim = z.infer<typeof Claim>;

/**
 * $1 claim · $2 its JSON but for the last two fields · then the worker's command. The link is made once, whole, and names this
 * very process, which becomes the worker: there is no moment at which one of the two is there without the other.
 */
const claimThenRun = `
IFS= read -r stat < /proc/$$/stat || exit 1
claim=$1 fields=$2; shift 2
command_line() { ticks=\${20}; }
command_line \${stat##*) }
printf '%s,"pid":%s,"ticks":"%s"}\\n' "$fields" "$$" "$ticks" > "$claim.$$" || exit 1
ln "$claim.$$" "$claim" 2>/dev/null; linked=$?
rm -f "$claim.$$"
[ "$linked" = 0 ] || exit 0
exec "$@"
`;

/** Null for what is no claim: it is linked whole, so the machine lost its power with it, and no worker outlived that. */
function readClaim(text: string): Claim | null {
  try {
    return Claim.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** A worker's claim is there this soon, or it was not started. */
const claimMs = 10_000;
/** Claims and logs of workers that have ended are kept for so long. */
const keepMs = 86_400_000;
/** Of a log that is looked at for a worker's last words. */
const tailBytes = 4096;

/**
 * Workers as processes of this machine, which outlive the controller that started them. There is one market: what is asked
 * for is remembered, and the machine is the same. Linux only: who lives is read from /proc.
 */
export class ProcessLauncher implements WorkerLauncher {
  readonly platform = 'process';
  private readonly options: ProcessLauncherOptions;

  constructor(options: ProcessLauncherOptions) {
    this.options = options;
  }

  async list(model: string): Promise<readonly ListedWorker[]> {
    const found: ListedWorker[] = [];
    for (const name of await this.names()) {
      const claim = await this.claimOf(name);
      if (claim === null) continue;
      if (!(await isAlive(claim))) await this.forget(name, claim);
      else if (claim.model === model) found.push({ ...workerOf(name, claim), why: null });
    }
    return found;
  }

  async ended(workers: readonly Pick<LaunchedWorker, 'id' | 'model'>[]): Promise<readonly EndedWorker[]> {
    const found: EndedWorker[] = [];
    for (const { id } of workers) {
      const claim = await this.claimOf(id);
      if (claim === null || (await isAlive(claim))) continue;
      found.push(await this.endOf(id));
    }
    return found;
  }

  async start({ model, market, count, token }: StartRequest): Promise<StartOutcome> {
    const { dir } = this.options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const started: LaunchedWorker[] = [];
    for (let i = 0; i < count; i++) {
      const name = `worker-${createHash('sha256').update(`${token}/${i}`).digest('hex').slice(0, 16)}`;
      const refused = await this.startOne(name, { model, market });
      if (refused !== null) return { started, refused };
      const claim = await this.claimOf(name);
      if (claim === null) return { started, refused: `${name} left no claim in ${dir} within ${claimMs / 1000} s` };
      started.push(workerOf(name, claim));
    }
    return { started, refused: null };
  }

  /** Null where the worker of this name runs, or has run. */
  private async startOne(name: string, { model, market }: Pick<Claim, 'model' | 'market'>): Promise<string | null> {
    const { dir, command, envOf, clock } = this.options;
    const claim = this.claimPath(name);
    if ((await this.claimOf(name)) !== null) return null;
    const fields = JSON.stringify({ model, market, startedAt: clock.date().getTime() }).slice(0, -1);
    const log = await open(join(dir, `${name}.log`), 'a', 0o600);
    try {
      const child = spawn('/bin/sh', ['-c', claimThenRun, 'sh', claim, fields, ...command], {
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        env: { ...envOf(model), LONGHAUL_WORKER_ID: name },
      });
      child.unref();
      const failed = new Promise<string>((resolve) => child.once('error', (error) => resolve(describeError(error))));
      return await Promise.race([failed, this.claimed(name)]);
    } finally {
      await log.close();
    }
  }

  private async claimed(name: string): Promise<null> {
    const { clock } = this.options;
    const until = clock.now() + claimMs;
    while ((await this.claimOf(name)) === null && clock.now() < until)
      await clock.sleep(10, new AbortController().signal);
    return null;
  }

  private async names(): Promise<string[]> {
    const files = await readdir(this.options.dir).catch(() => []);
    return files.flatMap((file) => (/^worker-[0-9a-f]{16}\.json$/.test(file) ? [file.slice(0, -5)] : [])).sort();
  }

  private claimPath(name: string): string {
    return join(this.options.dir, `${name}.json`);
  }

  private async claimOf(name: string): Promise<Claim | null> {
    if (!/^worker-[0-9a-f]{16}$/.test(name)) return null;
    const text = await readFile(this.claimPath(name), 'utf8').catch(() => null);
    return text === null ? null : readClaim(text);
  }

  private async endOf(name: string): Promise<EndedWorker> {
    const path = join(this.options.dir, `${name}.log`);
    const endedAt = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    );
    const last = (await tailOf(path)).trimEnd().split('\n').at(-1) ?? '';
    const inOrder = /"code":0\b/.test(last) && last.includes('"stopped"');
    return {
      id: name,
      endedAt,
      failure: inOrder ? null : { kind: 'broken', words: last === '' ? 'it said nothing' : last },
    };
  }

  private async forget(name: string, { startedAt }: Claim): Promise<void> {
    if (this.options.clock.date().getTime() - startedAt < keepMs) return;
    for (const end of ['json', 'log']) await rm(join(this.options.dir, `${name}.${end}`), { force: true });
  }
}

function workerOf(id: string, { model, market, startedAt }: Claim): LaunchedWorker {
  return { id, model, market, state: 'running', startedAt };
}

async function isAlive({ pid, ticks }: Claim): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (text === null) return false;
  // The command's name stands in parentheses and may hold anything; field 22 is the 20th behind it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] !== 'Z' && fields[0] !== 'X' && fields[19] === ticks;
}

async function tailOf(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => null);
  if (file === null) return '';
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - tailBytes);
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(tailBytes), position: from });
    return buffer.subarray(0, bytesRead).toString('utf8');
  } finally {
    await file.close();
  }
}
