import type { Readable, Writable } from 'node:stream';
import type { Clock } from '@longhaul/core/contracts';

export type Terminal = Writable & { readonly isTTY?: boolean };

/** The process as the commands see it; `main.ts` alone makes one from `process`. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly pid: number;
  /** The Node that runs us and runs the worker's program. */
  readonly execPath: string;
  readonly nodeVersion: string;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  /** Aborts at SIGINT, SIGTERM, SIGHUP, or when the process that started us by re-exec is gone. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Sets the exit code that the process ends with. */
  readonly finish: (code: number) => void;
}

/**
 * Ended as asked · an error, or a job that failed · a wrong command line · stored, but the queue could not be told ·
 * an estimate that does not fit · an estimate of which nobody knows whether it fits.
 */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  queueUnreachable: 3,
  doesNotFit: 4,
  mayNotFit: 5,
  interrupted: 130,
} as const;

/** Waits where the reader is slower than we are, so that a long output needs no memory. */
export async function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  if (stream.destroyed || stream.writableEnded) return;
  if (stream.write(text)) return;
  await new Promise<void>((resolve) => {
    const go = () => {
      stream.off('drain', go);
      stream.off('close', go);
      resolve();
    };
    stream.on('drain', go);
    stream.on('close', go);
  });
}

export async function writeJson(stream: Writable, value: unknown): Promise<void> {
  await write(stream, `${JSON.stringify(value)}\n`);
}
