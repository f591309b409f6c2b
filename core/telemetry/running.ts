/** What the SDK that runs in this process lets us decide about spans. */
export interface RunningSdk {
  /** The next span that is started, in this turn, gets the id. */
  nextSpanId(id: string): void;
  /** The next trace that is begun, in this turn, gets the id. */
  nextTraceId(id: string): void;
  /** Whether a trace that begins with us is kept: the same answer for the same id in every process of the same settings. */
  keeps(traceId: string): boolean;
}

let sdk: RunningSdk | null = null;

/** Null where none runs: then nothing is made for it. */
export function runningSdk(): RunningSdk | null {
  return sdk;
}

export function setRunningSdk(running: RunningSdk | null): void {
  sdk = running;
}
