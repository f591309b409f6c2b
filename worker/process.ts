/** What a command may know of the process it runs in. Only `main.ts` makes one. */
export interface ProcessIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Calls back at each SIGINT or SIGTERM, in place of ending the process; the returned function undoes it. */
  onStop(listener: (signal: string) => void): () => void;
  /** Ends the process by force if it has not ended by itself in so many ms: a hung device call ends by nothing else. */
  endWithin(ms: number): void;
  /** Ends the process in order, with the exit code that it has by then, if it has not ended by itself in so many ms. */
  exitWithin(ms: number): void;
}
