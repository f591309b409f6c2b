import { describeError, errorCode, LonghaulError, systemClock, version } from '@longhaul/core/contracts';
import { Command, CommanderError } from 'commander';
import { addApi } from './commands/api.ts';
import { addAsk } from './commands/ask.ts';
import { addBatch } from './commands/batch.ts';
import { addCancel } from './commands/cancel.ts';
import { addDoctor } from './commands/doctor.ts';
import { addEstimate } from './commands/estimate.ts';
import { addFollow } from './commands/follow.ts';
import { addAppend, addIngest } from './commands/ingest.ts';
import { addJobs } from './commands/jobs.ts';
import { addKeys } from './commands/keys.ts';
import { addModel } from './commands/model.ts';
import { addPassed, isPassedCommand, passThrough } from './commands/pass-through.ts';
import { addRedrive } from './commands/redrive.ts';
import { addResult } from './commands/result.ts';
import { addStates } from './commands/states.ts';
import { addStatus } from './commands/status.ts';
import { addSubmit } from './commands/submit.ts';
import { addUp } from './commands/up.ts';
import { addWorkers } from './commands/workers.ts';
import { type CommandContext, exitCodes, write, writeJson } from './context.ts';
import { traced } from './traced.ts';

const stop = new AbortController();
let exitCode: number = exitCodes.ok;

const context: CommandContext = {
  env: process.env,
  cwd: process.cwd(),
  pid: process.pid,
  execPath: process.execPath,
  nodeVersion: process.versions.node,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stop.signal,
  clock: systemClock,
  finish: (code) => {
    exitCode = code;
  },
};

// The first signal asks, and the second one of the user's patience ends.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (stop.signal.aborted && name === 'SIGINT') process.exit(exitCodes.interrupted);
    stop.abort(name);
  });
}
// `bin/longhaul.mjs` holds the other end where it had to start another Node: without it nobody waits for us.
if (process.channel !== undefined) {
  process.on('disconnect', () => stop.abort('SIGTERM'));
  process.channel.unref();
}
// A reader that has seen enough (`| head`) is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exitCodes.ok);
    throw error;
  });
}

function program(): Command {
  const longhaul = new Command('longhaul')
    .description('reads documents of any length on interruptible machines, and never reads a page twice')
    .version(version)
    // What stands behind a command's own command is that one's.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .showHelpAfterError(false);
  const jobs = [
    addSubmit,
    addIngest,
    addAppend,
    addAsk,
    addEstimate,
    addFollow,
    addStatus,
    addJobs,
    addResult,
    addCancel,
    addRedrive,
    addBatch,
  ];
  for (const add of [addUp, ...jobs, addStates, addModel, addWorkers, addApi, addKeys, addDoctor])
    add(longhaul, context);
  addPassed(longhaul);
  return longhaul;
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    const [name, ...rest] = argv;
    if (isPassedCommand(name)) return await passThrough(name, rest, context);
    await program().parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    const json = argv.includes('--json');
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exitCodes.ok;
      const text = error.code === 'commander.help' ? 'name a command; see longhaul --help' : error.message;
      await report('invalid_argument', text.replace(/^error: /, ''), json);
      return exitCodes.usage;
    }
    if (stop.signal.aborted && error === stop.signal.reason) return exitCodes.interrupted;
    const code = errorCode(error);
    await report(code, describeError(error), json);
    return error instanceof LonghaulError && code === 'invalid_argument' ? exitCodes.usage : exitCodes.failed;
  }
}

async function report(code: string, message: string, json: boolean): Promise<void> {
  if (json) await writeJson(context.stdout, { error: { code, message } });
  else await write(context.stderr, `longhaul: ${code}: ${message.replaceAll('\n', ' ')}\n`);
}

const code = await traced(process.argv.slice(2), context, main);
// Everything of ours is closed and, once both streams are empty, said; a library's idle timer must not keep us.
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((said) => stream.write('', said))));
process.exit(code);
