import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** What `longhaul up --json` says of itself, as far as the demo listens. */
interface UpEvent {
  readonly event: string;
  readonly name?: string;
  readonly line?: string;
  readonly text?: string;
}

/** What `up.json` says. */
interface UpFile {
  readonly redisUrl: string;
  readonly storeUrl: string;
  readonly workers: readonly { readonly id: string; readonly pid: number }[];
}

/** One machine of longhaul: a private Redis, a `file://` ledger, and workers, all children of one `longhaul up`. */
export class Machine {
  private readonly child: ChildProcess;
  private readonly dir: string;
  private readonly exited: Promise<unknown>;
  private readonly said: string[] = [];
  private ready = 0;

  constructor(cli: string, dir: string, args: readonly string[]) {
    this.dir = dir;
    this.child = spawn(process.execPath, [cli, 'up', '--data', dir, '--json', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = once(this.child, 'exit');
    const hear = (line: string) => {
      this.said.push(line);
      if (this.said.length > 200) this.said.shift();
      if (line.includes('\\"ready\\"')) this.ready++;
    };
    createInterface({ input: this.child.stdout! }).on('line', hear);
    createInterface({ input: this.child.stderr! }).on('line', hear);
  }

  /** Waits until `workers` of them take jobs. */
  async waitReady(workers: number): Promise<UpFile> {
    const deadline = Date.now() + 60_000;
    while (this.ready < workers) {
      if (this.child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`longhaul up did not get ready:\n${this.lastWords()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return this.file();
  }

  async file(): Promise<UpFile> {
    return JSON.parse(await readFile(join(this.dir, 'up.json'), 'utf8')) as UpFile;
  }

  /** Signals a worker by its name; false where it is not running just now. */
  async signalWorker(id: string, signal: NodeJS.Signals): Promise<boolean> {
    const worker = (await this.file()).workers.find((w) => w.id === id);
    if (worker === undefined) return false;
    process.kill(worker.pid, signal);
    return true;
  }

  lastWords(): string {
    return this.said
      .slice(-25)
      .map((line) => {
        try {
          const event = JSON.parse(line) as UpEvent;
          return `${event.name ?? event.event} ${event.line ?? event.text ?? ''}`;
        } catch {
          return line;
        }
      })
      .join('\n');
  }

  /** Everything it started is gone when this resolves. */
  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM');
    await this.exited;
  }
}
