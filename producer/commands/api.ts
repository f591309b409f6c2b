import { join } from 'node:path';
import { LonghaulError } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { parseConfig } from '../config.ts';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import { dataDir } from '../home.ts';
import { addCommon, example, parseNumber } from './shared.ts';

interface ApiOptions {
  readonly data?: string;
  readonly json?: boolean;
  readonly host: string;
  readonly port: string;
  readonly anyPort?: boolean;
  readonly localKey?: boolean;
}

export function addApi(program: Command, context: CommandContext): void {
  addCommon(program.command('api'))
    .description('serve the HTTP API and the run page, until Ctrl-C')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 takes a free one', '8080')
    .option('--any-port', 'take a free port where that one is taken')
    .option('--local-key', 'keep a key of the tenant default in DIR/api-key, readable by you alone')
    .addHelpText(
      'after',
      example(
        'longhaul api --local-key',
        'LONGHAUL_REDIS_URL=redis://… LONGHAUL_STORE=s3://… longhaul api --host 0.0.0.0 --json',
      ),
    )
    .action(async (options: ApiOptions) => {
      const port = parseNumber('--port', options.port, { least: 0, most: 65_535, whole: true });
      if (options.host.trim() === '') throw new LonghaulError('invalid_argument', '--host takes an address; found ""');
      const dir = dataDir(parseConfig(context.env), options.data, context.cwd);
      const localKey = options.localKey === true ? join(dir, 'api-key') : null;
      const [{ serve }, { jsonLog }] = await Promise.all([import('../api/serve.ts'), import('../api/log.ts')]);
      const log = jsonLog((line) => void write(context.stderr, line), context.clock.date);
      const { host, anyPort = false, data } = options;
      await serve({ data, host, port, anyPort, localKey }, context, log, (url) => {
        if (options.json === true) void writeJson(context.stdout, { event: 'listening', url });
        else void write(context.stdout, `${told(url, localKey)}\n`);
      });
      context.finish(exitCodes.ok);
    });
}

function told(url: string, localKey: string | null): string {
  const key = localKey === null ? 'keys: longhaul keys create' : `key: ${localKey}`;
  return `longhaul answers at ${url}; ${key}; stop with Ctrl-C`;
}
