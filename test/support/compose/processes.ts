import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Ends the program where this process is gone, however that comes: for programs that know no parent's pipe. */
const guard = `
exec 3<&0
"$@" 3<&- </dev/null &
program=$!
( read -r _ <&3; kill -9 "$program" ) >/dev/null 2>&1 &
watcher=$!
trap 'kill -TERM "$program"' TERM
exec 3<&-
wait "$program"; code=$?
if kill -0 "$program" 2>/dev/null; then wait "$program"; code=$?; fi
kill "$watcher" 2>/dev/null
exit "$code"
`;

/** A program of the stack, with all that it said. */
export class StackProcess {
  readonly name: string;
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  private readonly closed: Promise<number>;

  constructor(
    name: string,
    command: readonly string[],
    options: { cwd: string; env: Record<string, string>; guarded?: boolean },
  ) {
    this.name = name;
    const [program = '', ...args] = options.guarded === true ? ['/bin/sh', '-c', guard, 'guard', ...command] : command;
    this.child = spawn(program, args, { cwd: options.cwd, env: options.env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stdin!.on('error', () => {});
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.closed = once(this.child, 'close').then(
      ([code, signal]) => (code as number | null) ?? (signal === null ? 1 : 128),
      (error: Error) => {
        this.stderr += error.message;
        return 127;
      },
    );
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The exit code; 128 where a signal ended it. */
  get ended(): Promise<number> {
    return this.closed;
  }

  /** As `docker stop` does: the exit code, and how long it took. SIGKILL after the grace. */
  async stop(graceMs: number): Promise<{ readonly code: number; readonly ms: number }> {
    const began = performance.now();
    if (this.alive) this.child.kill('SIGTERM');
    const late = setTimeout(() => this.child.kill('SIGKILL'), graceMs);
    const code = await this.closed;
    clearTimeout(late);
    return { code, ms: performance.now() - began };
  }

  kill(): void {
    this.child.stdin!.destroy();
    if (this.alive) this.child.kill('SIGKILL');
  }

  /** For messages of failures. */
  get words(): string {
    return `${this.name}: ${(this.stdout + this.stderr).slice(-3000)}`;
  }
}
