import type { Command } from 'commander';
import { parseConfig } from '../config.ts';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import { dataDir } from '../home.ts';
import { findModel } from '../model-dir.ts';
import type { UpEvent } from '../up/up-event.ts';
import { workerEnv, workerSettings } from '../up/worker-env.ts';
import { plainLogLine } from '../up/worker-log.ts';
import { addCommon, example, parseNumber } from './shared.ts';

interface UpCommandOptions extends Readonly<Record<string, unknown>> {
  readonly data?: string;
  readonly json?: boolean;
  readonly workers: string;
  readonly model?: string;
  readonly api: boolean;
  readonly port: string;
}

export function addUp(program: Command, context: CommandContext): void {
  const command = addCommon(program.command('up'))
    .description('run Redis, a store, workers and the HTTP API on this machine, until Ctrl-C')
    .option('--workers <n>', 'worker processes; 0 keeps only the queue and the store', '1')
    .option('--model <dir or name>', 'a model directory, or the name of one below models/ (default: tiny-english)');
  command
    .option('--no-api', 'start no HTTP API')
    .option('--port <n>', 'port of the HTTP API on 127.0.0.1; a free one where it is taken', '8080');
  for (const setting of workerSettings) command.option(setting.flags, setting.description);
  command
    .addHelpText('after', example('longhaul up', 'longhaul up --data /srv/longhaul --workers 2 --commit-seconds 10'))
    .action(async (options: UpCommandOptions) => {
      const workers = parseNumber('--workers', options.workers, { least: 0, most: 256, whole: true });
      const port = parseNumber('--port', options.port, { least: 0, most: 65_535, whole: true });
      const config = parseConfig(context.env);
      const model = await findModel(options.model ?? config.model, context.cwd);
      // Every setting is checked before anything is started.
      workerEnv({}, { redisUrl: '', storeUrl: '', modelDir: '', model: '', workers }, '', options);
      const onEvent = (event: UpEvent) => void show(event, options.json === true, context);
      const dir = dataDir(config, options.data, context.cwd);
      const { runUp } = await import('../up/up.ts');
      const api = options.api ? { port } : null;
      await runUp({ dir, workers, api, model, given: options, onEvent }, config, context);
      context.finish(exitCodes.ok);
    });
}

function show(event: UpEvent, json: boolean, context: CommandContext): Promise<void> {
  if (json) return writeJson(context.stdout, { at: context.clock.date().toISOString(), ...event });
  return write(context.stderr, `${line(event)}\n`);
}

function line(event: UpEvent): string {
  switch (event.event) {
    case 'ready':
      return `longhaul is up in ${event.dir}: model ${event.model}, queue ${event.redis}, store ${event.store}\nsubmit with: longhaul submit FILE --prompt TEXT --data ${event.dir}; stop with Ctrl-C`;
    case 'listening':
      return `the HTTP API answers at ${event.url}; its key is in ${event.keyFile}`;
    case 'started':
      return `[${event.name}] started, process ${event.pid}`;
    case 'exited': {
      const { code, signal } = event.exit;
      const how = signal === null ? (code === null ? '' : ` (code ${code})`) : ` (${signal})`;
      return `[${event.name}] ended${how}; starts again in ${event.restartMs / 1000} s`;
    }
    case 'failed':
      return `[${event.name}] cannot start: ${event.reason}; tried again in ${event.restartMs / 1000} s`;
    case 'stopped':
      return `[${event.name}] stopped${event.killed ? ' (killed: it took too long)' : ''}`;
    case 'log':
      return `[${event.name}] ${plainLogLine(event.line)}`;
    case 'notice':
      return event.text;
    case 'stopping':
      return 'stopping: workers commit and hand their jobs back';
    case 'down':
      return 'longhaul is down; its jobs go on at the next `longhaul up`';
  }
}
