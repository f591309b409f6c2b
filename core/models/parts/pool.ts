import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { LonghaulError, RejectedJob, RetryableFailure } from '../../contracts/errors.ts';
import { openSource, type SourceAddress } from '../open-source.ts';
import type { FromThread, ThreadFailure, ToThread } from './thread-messages.ts';
import { type PartTask, PartWork, type TaskResult } from './work.ts';

/** Does tasks of files; as many at once as it is given. */
export interface PartPool {
  run<T extends PartTask>(task: T, signal: AbortSignal): Promise<TaskResult<T>>;
  /** Tells those who follow a file. */
  arrived(path: string, part: number): void;
  close(): Promise<void>;
}

/** Bytes that a thread must have before it: below it starting one takes longer than the work. */
const BYTES_A_THREAD = 128 * 2 ** 20;
const MOST_THREADS = 16;

/** Threads that so many bytes are worth: hashing and receiving take a core for about a GB/s. */
export function threadsFor(bytes: number): number {
  return Math.min(MOST_THREADS, Math.max(1, availableParallelism()), Math.floor(bytes / BYTES_A_THREAD));
}

/** With 0 threads everything is done on this one. `address` is null where nothing is fetched. */
export async function openPool(address: SourceAddress | null, threads: number): Promise<PartPool> {
  if (threads === 0) return new PartWork(address === null ? null : await openSource(address));
  const near = new PartWork(address === null ? null : await openSource(address));
  return new ThreadPool(address, threads, near);
}

/** Bytes of a file that is brought on this thread: somebody waits for it, and the others have yet to start. */
const NEAR_BYTES = 4 * 2 ** 20;

interface Waiting {
  readonly thread: Worker;
  resolve(result: TaskResult<PartTask>): void;
  reject(error: unknown): void;
}

class ThreadPool implements PartPool {
  readonly #threads: readonly Worker[];
  /** Tasks of each thread. */
  readonly #load: number[];
  readonly #waiting = new Map<number, Waiting>();
  readonly #near: PartWork;
  #next = 0;
  #closing = false;
  #lost: Error | null = null;

  constructor(address: SourceAddress | null, threads: number, near: PartWork) {
    this.#near = near;
    const file = new URL('./part-thread.ts', import.meta.url);
    this.#threads = Array.from({ length: threads }, () => {
      const thread = new Worker(file, { workerData: address });
      thread.on('message', (message: FromThread) => this.#settle(message));
      thread.on('error', (error) => this.#lose(thread, error));
      thread.on('exit', () => this.#lose(thread, new Error('the thread ended')));
      return thread;
    });
    this.#load = this.#threads.map(() => 0);
  }

  async run<T extends PartTask>(task: T, signal: AbortSignal): Promise<TaskResult<T>> {
    signal.throwIfAborted();
    if (task.kind === 'fetch' && task.part.file.bytes <= NEAR_BYTES) return await this.#near.run(task, signal);
    if (this.#lost !== null) throw this.#lost;
    const least = this.#load.indexOf(Math.min(...this.#load));
    const thread = this.#threads[least]!;
    this.#load[least]! += 1;
    const id = this.#next++;
    try {
      const settled = new Promise<TaskResult<PartTask>>((resolve, reject) => {
        this.#waiting.set(id, { thread, resolve, reject });
        thread.postMessage({ kind: 'task', id, task } satisfies ToThread);
      });
      return (await abortable(settled, signal)) as TaskResult<T>;
    } finally {
      this.#waiting.delete(id);
      this.#load[least]! -= 1;
    }
  }

  arrived(path: string, part: number): void {
    for (const thread of this.#threads) thread.postMessage({ kind: 'arrived', path, part } satisfies ToThread);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all([this.#near.close(), ...this.#threads.map((thread) => thread.terminate())]);
  }

  #settle(message: FromThread): void {
    const waiting = this.#waiting.get(message.id);
    if ('failure' in message) waiting?.reject(errorOf(message.failure));
    else waiting?.resolve(message.result);
  }

  #lose(thread: Worker, error: Error): void {
    if (this.#closing) return;
    const text = `a thread that brings a model ended: ${error.message}`;
    this.#lost ??= new LonghaulError('internal', text, { cause: error });
    for (const waiting of this.#waiting.values()) if (waiting.thread === thread) waiting.reject(this.#lost);
  }
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
    promise.catch(() => {});
  }
}

function errorOf({ code, message, disposition }: ThreadFailure): Error {
  if (disposition === 'retry') return new RetryableFailure(code, message);
  if (disposition === 'quarantine') return new RejectedJob(code, message);
  return new LonghaulError(code, message);
}
