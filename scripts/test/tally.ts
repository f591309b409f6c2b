import path from 'node:path';

export interface TestResult {
  readonly file: string;
  /** Names from the outermost suite to the test. */
  readonly path: readonly string[];
  readonly seconds: number;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** What went wrong, or why it was skipped. */
  readonly detail: string | null;
}

/** What node:test reports of a test or suite that ended; children come before their parent. */
export interface TestEvent {
  readonly name: string;
  readonly nesting: number;
  readonly file?: string | undefined;
  readonly skip?: string | boolean | undefined;
  readonly todo?: string | boolean | undefined;
  readonly details: { readonly duration_ms: number };
}

interface FileState {
  /** Finished descendants at each nesting level that wait for their parent's name. */
  readonly pending: TestResult[][];
  output: string;
}

/** Counts the leaves of the test tree, and shows them as they end: files run at once, but a file shows as a whole. */
export class Tally {
  private readonly root: string;
  private readonly json: boolean;
  private readonly write: (text: string) => void;
  private readonly files = new Map<string, FileState>();
  private readonly results: TestResult[] = [];
  private readonly began = performance.now();
  private lastFile = '';

  constructor(options: { root: string; json: boolean; write: (text: string) => void }) {
    this.root = options.root;
    this.json = options.json;
    this.write = options.write;
  }

  event(event: TestEvent, error: unknown): void {
    const file = event.file ?? '';
    const state = this.state(file);
    const children = state.pending[event.nesting + 1]?.splice(0) ?? [];
    const results = children.map((child): TestResult => ({ ...child, path: [event.name, ...child.path] }));
    // A parent that fails only through its children adds nothing; one that fails by itself is a failure of its own.
    const byItself = error !== null && (error as { failureType?: unknown }).failureType !== 'subtestsFailed';
    if (children.length === 0 || byItself) results.push(this.leaf(event, file, error));
    if (event.nesting > 0) {
      state.pending[event.nesting] ??= [];
      state.pending[event.nesting]!.push(...results);
      return;
    }
    for (const result of results) this.result(result);
  }

  private leaf(event: TestEvent, file: string, error: unknown): TestResult {
    const ownName = event.nesting === 0 && path.resolve(this.root, event.name) === file;
    const common = {
      file: path.relative(this.root, file),
      path: [ownName ? 'the file itself' : event.name],
      seconds: event.details.duration_ms / 1000,
    };
    const skipped = event.skip ?? event.todo;
    if (skipped !== undefined && skipped !== false) {
      const why = typeof skipped === 'string' && skipped !== '' ? skipped : 'no reason given';
      return { ...common, outcome: 'skipped', detail: event.skip === undefined ? `to do: ${why}` : why };
    }
    if (error !== null) return { ...common, outcome: 'failed', detail: this.explain(file, error) };
    // node:test passes a file without tests under the file's own name.
    if (ownName) return { ...common, outcome: 'failed', detail: 'the file holds no test' };
    return { ...common, outcome: 'passed', detail: null };
  }

  private explain(file: string, error: unknown): string {
    const cause = (error as { cause?: unknown }).cause ?? error;
    const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    const output = this.state(file).output.trimEnd().split('\n').slice(-40).join('\n');
    return output === '' ? text : `${text}\noutput of the file:\n${output}`;
  }

  output(file: string, text: string): void {
    const state = this.state(file);
    state.output = (state.output + text).slice(-16_000);
  }

  result(result: TestResult): void {
    this.results.push(result);
    if (this.json) {
      this.write(`${JSON.stringify(result)}\n`);
      return;
    }
    if (result.file !== this.lastFile) this.write(`\n${result.file}\n`);
    this.lastFile = result.file;
    const mark = { passed: '✔', failed: '✖', skipped: '-' }[result.outcome];
    const why = result.outcome === 'skipped' ? `  (${result.detail})` : '';
    this.write(`  ${mark} ${result.path.join(' › ')}  ${result.seconds.toFixed(2)} s${why}\n`);
    if (result.outcome === 'failed') this.write(indent(result.detail ?? '', 6));
  }

  /** A line for people: how long everything so far has taken. */
  milestone(what: string): void {
    const seconds = (performance.now() - this.began) / 1000;
    if (!this.json) this.write(`\n${what}, after ${this.results.length} tests in ${seconds.toFixed(1)} s\n`);
  }

  failure(name: string, detail: string): void {
    this.result({ file: 'checks', path: [name], seconds: 0, outcome: 'failed', detail });
  }

  /** Failures again, skips with their reasons, and the count alone on the last line. Returns the exit code. */
  finish(): number {
    const of = (outcome: TestResult['outcome']) => this.results.filter((result) => result.outcome === outcome);
    const [passed, failed, skipped] = [of('passed'), of('failed'), of('skipped')];
    if (!this.json) {
      if (skipped.length > 0) this.write('\nskipped:\n');
      for (const result of skipped) this.write(`  - ${result.file}: ${result.path.join(' › ')}: ${result.detail}\n`);
      if (failed.length > 0) this.write('\nfailed:\n');
      for (const result of failed) {
        this.write(`  ✖ ${result.file}: ${result.path.join(' › ')}\n${indent(result.detail ?? '', 6)}`);
      }
      this.write(`\n${((performance.now() - this.began) / 1000).toFixed(1)} s\n`);
    }
    this.write(`${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped\n`);
    return failed.length > 0 || passed.length === 0 ? 1 : 0;
  }

  private state(file: string): FileState {
    let state = this.files.get(file);
    if (state === undefined) {
      state = { pending: [], output: '' };
      this.files.set(file, state);
    }
    return state;
  }
}

function indent(text: string, by: number): string {
  return `${text.trimEnd().replaceAll(/^/gm, ' '.repeat(by))}\n`;
}
