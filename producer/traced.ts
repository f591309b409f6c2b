import { followContexts, inTrace, parseTraceParent, startTelemetry } from '@longhaul/core/telemetry';
import { isPassedCommand } from './commands/pass-through.ts';
import { type CommandContext, write } from './context.ts';
import { within } from './within.ts';

/** Milliseconds that the end of a command waits for its spans to be sent. */
const lastWordsMs = 1000;

/** Commands that serve, or start those that do: telemetry is theirs. */
const serving = new Set(['api', 'up']);

/**
 * Runs a command as a part of the trace that `TRACEPARENT` names, as shells and CI systems say it, and tells of it where the
 * environment names a collector. A command says nothing on its own where neither is set.
 */
export async function traced(
  argv: readonly string[],
  context: CommandContext,
  main: (argv: readonly string[]) => Promise<number>,
): Promise<number> {
  const [name] = argv;
  if (name !== undefined && (serving.has(name) || isPassedCommand(name))) return await main(argv);
  const caller = parseTraceParent(context.env['TRACEPARENT']);
  const telemetry = await startTelemetry({
    env: context.env,
    service: 'longhaul-cli',
    instance: `cli-${context.pid}`,
    address: null,
    ready: () => true,
    log: (level, message, fields) => {
      if (level === 'warn') void write(context.stderr, `longhaul: ${message}: ${JSON.stringify(fields ?? {})}\n`);
    },
  });
  if (caller !== null) await followContexts();
  try {
    return await inTrace(caller, () => main(argv));
  } finally {
    await within(lastWordsMs, telemetry.shutdown(), 'telemetry').catch(() => undefined);
  }
}
