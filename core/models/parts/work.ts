import { closeSync, openSync } from 'node:fs';
import { fileFailure } from '../../ledger/file-errors.ts';
import type { PartSource } from '../part-source.ts';
import { digestFile, digestRange, type FileDigests } from './digest-file.ts';
import { fetchPart, type Part } from './fetch-part.ts';

/** What is done to files, here or on a thread: plain values, so that it can be sent to one. */
export type PartTask =
  /** Brings a part into the file at `path`, which is there. */
  | { readonly kind: 'fetch'; readonly path: string; readonly part: Part }
  /** Whether the file holds the part already. */
  | { readonly kind: 'check'; readonly path: string; readonly part: Part }
  /** All digests of a file. With `follows`, parts are read when `arrived` has told of them. */
  | {
      readonly kind: 'digest';
      readonly path: string;
      readonly bytes: number;
      readonly partBytes: number;
      readonly wantParts: boolean;
      readonly follows: boolean;
    };

export type TaskResult<T extends PartTask> = T extends { kind: 'fetch' }
  ? null
  : T extends { kind: 'check' }
    ? boolean
    : FileDigests;

/** Does tasks, several at once. */
export class PartWork {
  readonly #source: PartSource | null;
  /** Parts that were told of, by path, and who waits for one. */
  readonly #arrived = new Map<string, Set<number>>();
  readonly #waiting = new Map<string, () => void>();

  constructor(source: PartSource | null) {
    this.#source = source;
  }

  async run<T extends PartTask>(task: T, signal: AbortSignal): Promise<TaskResult<T>>;
  async run(task: PartTask, signal: AbortSignal): Promise<TaskResult<PartTask>> {
    switch (task.kind) {
      case 'fetch': {
        if (this.#source === null) throw new Error('no source was given');
        const source = this.#source;
        return await withFile(task.path, 'r+', async (fd) => {
          await fetchPart(source, task.part, fd, signal);
          return null;
        });
      }
      case 'check':
        return await withFile(task.path, 'r', async (fd) => {
          return digestRange(fd, task.part.from, task.part.end) === task.part.sha256;
        });
      case 'digest': {
        const { path, bytes, partBytes, wantParts, follows } = task;
        const ready = follows ? { ready: (part: number) => this.#when(path, part, signal) } : {};
        return await digestFile(path, { bytes, partBytes, wantParts, signal, ...ready });
      }
    }
  }

  arrived(path: string, part: number): void {
    const parts = this.#arrived.get(path) ?? new Set();
    this.#arrived.set(path, parts.add(part));
    this.#waiting.get(`${part} ${path}`)?.();
  }

  async close(): Promise<void> {
    await this.#source?.close();
  }

  async #when(path: string, part: number, signal: AbortSignal): Promise<void> {
    if (this.#arrived.get(path)?.has(part)) return;
    await new Promise<void>((resolve, reject) => {
      this.#waiting.set(`${part} ${path}`, resolve);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      if (signal.aborted) reject(signal.reason);
    });
  }
}

async function withFile<T>(path: string, flags: string, work: (fd: number) => Promise<T>): Promise<T> {
  let fd: number;
  try {
    fd = openSync(path, flags);
  } catch (error) {
    throw fileFailure(`opening ${path}`, error);
  }
  try {
    return await work(fd);
  } finally {
    closeSync(fd);
  }
}
