import { Session } from 'node:inspector';

/**
 * Which blocks of the project's own code ran, by V8's precise coverage: a feature is a block with the order of magnitude
 * of its count.
 */
export class Coverage {
  private readonly session = new Session();
  private readonly seen = new Set<string>();
  private readonly wanted: RegExp;

  /** `wanted`: addresses of the scripts that count. */
  constructor(wanted: RegExp) {
    this.wanted = wanted;
    this.session.connect();
    this.session.post('Profiler.enable');
    this.session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    this.fresh();
  }

  get features(): number {
    return this.seen.size;
  }

  /** How many features appeared since the last call that never had before. */
  fresh(): number {
    const before = this.seen.size;
    this.session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error) throw error;
      for (const script of taken.result) {
        if (!this.wanted.test(script.url)) continue;
        for (const { ranges } of script.functions)
          for (const { startOffset, endOffset, count } of ranges)
            if (count > 0)
              this.seen.add(
                `${script.scriptId}:${startOffset}:${endOffset}:${Math.min(8, Math.ceil(Math.log2(count)))}`,
              );
      }
    });
    return this.seen.size - before;
  }

  close(): void {
    this.session.disconnect();
  }
}
