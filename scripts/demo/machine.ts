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

/**
 * One machine of longhaul: a private Redis, a `file://` ledger, and workers, all children of one `longhaul up`. Where
 * somebody kills that one too, it is started again on the same directory, and its jobs go on.
 */
export class Machine {
  private readonly command: readonly string[];
  private readonly dir: string;
  private readonly say: (text: string) => void;
  private readonly said: string[] = [];
  private child: ChildProcess;
  private stopping = false;
  private ready = 0;
  private restarts = 0;

  constructor(cli: string, dir: string, args: readonly string[], say: (text: string) => void) {
    this.command = [cli, 'up', '--data', dir, '--json', ...args];
    this.dir = dir;
    this.say = say;
    this.child = this.start();
  }

  private start(): ChildProcess {
    const child = spawn(process.execPath, this.command, { stdio: ['ignore', 'pipe', 'pipe'] });
    const hear = (line: string) => {
      this.said.push(line);
      if (this.said.length > 200) this.said.shift();
      if (line.includes('\\"ready\\"')) this.ready++;
    };
    createInterface({ input: child.stdout }).on('line', hear);
    createInterface({ input: child.stderr }).on('line', hear);
    child.once('exit', () => {
      // One that never got ready has a reason, which the one who waits for it tells.
      if (this.stopping || this.ready === 0 || this.restarts >= mostRestarts) return;
      this.restarts++;
      this.say('  longhaul up is gone: starting it again');
      this.child = this.start();
    });
    return child;
  }

  /** Waits until `workers` of them take jobs. */
  async waitReady(workers: number): Promise<UpFile> {
    const deadline = Date.now() + 60_000;
    while (this.ready < workers) {
      if (gone(this.child) || Date.now() > deadline) {
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
    try {
      process.kill(worker.pid, signal);
      return true;
    } catch {
      return false;
    }
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
    this.stopping = true;
    if (gone(this.child)) return;
    this.child.kill('SIGTERM');
    await once(this.child, 'exit');
  }
}

const mostRestarts = 20;

const gone = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;
