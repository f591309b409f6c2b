import { type SpawnOptions, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { LonghaulError } from '@longhaul/core/contracts';
import type { Exit, Run } from './supervise.ts';

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Every line that it prints, from either stream. */
  readonly onLine: (line: string) => void;
}

/**
 * Starts a program in a process group of its own (a Ctrl-C at the terminal reaches us alone, and we end our children in
 * order), with a pipe to its standard input that closes when this process ends, however it ends.
 */
export async function startChild(options: ChildOptions): Promise<Run> {
  const how: SpawnOptions = {
    cwd: options.cwd,
    env: { ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  };
  const child = spawn(options.command, options.args, how);
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null)
      createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', options.onLine);
  }
  // Writing to it is never attempted; an error here only says that the child is gone.
  child.stdin?.on('error', () => undefined);
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: null, signal: null }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) =>
      reject(new LonghaulError('internal', `${options.command} cannot be started`, { cause })),
    );
  });
  return {
    pid: child.pid ?? 0,
    exited,
    stop: () => void child.kill('SIGTERM'),
    kill: () => void child.kill('SIGKILL'),
  };
}
