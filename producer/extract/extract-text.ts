import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ErrorCode, LonghaulError } from '@longhaul/core/contracts';
import { extractLimits } from './limits.ts';
import { type Extracted, type ExtractKind, Report } from './report.ts';

export interface ExtractOptions {
  /** For messages: what a person would call the file. */
  readonly name: string;
  /** The Node that runs the process. */
  readonly execPath: string;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number, unit: string) => void;
  /** Called once, when all text has been given out. */
  readonly onDone: (extracted: Extracted) => void;
  /** In place of those of `extractLimits`. */
  readonly limits?: { readonly [Limit in 'heapMiB' | 'residentBytes' | 'silenceMs' | 'totalMs']?: number };
}

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const watchMs = 200;

/**
 * The text of a file, read in a process of its own: that may not write, run or load anything, has an end to its memory
 * and its time, and takes nothing with it when a hostile file kills it.
 * @throws LonghaulError `source_unreadable`, `source_too_large`, `source_empty`; the signal's reason
 */
export async function* extractText(
  path: string,
  kind: ExtractKind | 'zip',
  options: ExtractOptions,
): AsyncGenerator<Uint8Array, void> {
  const { name, signal } = options;
  const limits = { ...extractLimits, ...options.limits };
  signal.throwIfAborted();
  const args = ['--disable-warning=ExperimentalWarning', '--permission', '--allow-fs-read=*'];
  const child = spawn(options.execPath, [...args, `--max-old-space-size=${limits.heapMiB}`, main, kind, path], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {},
  });
  let killedFor: LonghaulError | null = null;
  const kill = (code: ErrorCode, message: string): void => {
    killedFor ??= new LonghaulError(code, `${name} ${message}`);
    child.kill('SIGKILL');
  };
  const stop = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', stop, { once: true });

  let report: Report | null = null;
  let heardAt = performance.now();
  const startedAt = heardAt;
  child.on('message', (said) => {
    const parsed = Report.safeParse(said);
    if (!parsed.success) return;
    heardAt = performance.now();
    if (parsed.data.kind === 'progress') options.onProgress(parsed.data.done, parsed.data.total, parsed.data.unit);
    else report = parsed.data;
  });
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr = `${stderr}${text}`.slice(-2000);
  });
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  // Time in which nobody takes the text is not the file's.
  let waiting = true;
  const watch = setInterval(async () => {
    const now = performance.now();
    if (!waiting) heardAt = now;
    if (now - heardAt > limits.silenceMs) kill('source_unreadable', `gave no page for ${limits.silenceMs / 1000} s`);
    if (now - startedAt > limits.totalMs)
      kill('source_too_large', `takes more than ${limits.totalMs / 1000} s to read`);
    const resident = await residentBytes(child.pid);
    if (resident > limits.residentBytes) kill('source_too_large', needs(limits.residentBytes / 1024 ** 2));
  }, watchMs);
  try {
    for await (const chunk of child.stdout! as AsyncIterable<Uint8Array>) {
      waiting = false;
      yield chunk;
      waiting = true;
    }
    await closed;
    signal.throwIfAborted();
    if (killedFor !== null) throw killedFor;
    options.onDone(outcome(report, name, stderr, limits.heapMiB));
  } finally {
    clearInterval(watch);
    signal.removeEventListener('abort', stop);
    child.kill('SIGKILL');
  }
}

/** @throws LonghaulError where the process did not come to its end, or said why not */
function outcome(report: Report | null, name: string, stderr: string, heapMiB: number): Extracted {
  if (report?.kind === 'done') return report.extracted;
  if (report?.kind === 'failed') {
    const code = ErrorCode.safeParse(report.code);
    throw new LonghaulError(code.success ? code.data : 'source_unreadable', `${name}: ${report.message}`);
  }
  if (/heap out of memory/i.test(stderr)) throw new LonghaulError('source_too_large', `${name} ${needs(heapMiB)}`);
  const said = stderr.trim().split('\n').at(-1) ?? '';
  throw new LonghaulError(
    'source_unreadable',
    `${name} ended the process that read it${said === '' ? '' : `: ${said}`}`,
  );
}

function needs(mebibytes: number): string {
  return `needs more than ${mebibytes} MiB of memory to be read`;
}

/** 0 where the system does not tell. */
async function residentBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
}
