import type { Command } from 'commander';
import type { ApiKeyRecord } from '../api/keys/api-key.ts';
import { ApiKeys } from '../api/keys/api-keys.ts';
import { type CommandContext, write, writeJson } from '../context.ts';
import { table } from '../render/table.ts';
import { withSession } from '../session.ts';
import { addCommon, example } from './shared.ts';

interface Common {
  readonly data?: string;
  readonly json?: boolean;
}

export function addKeys(program: Command, context: CommandContext): void {
  const keys = program.command('keys').description('API keys: each belongs to a tenant, and is stored as a hash alone');
  addCommon(keys.command('create'))
    .description('make a key; it is shown this once')
    .option('--tenant <name>', 'whose jobs and states it reaches', 'default')
    .option('--name <text>', 'what it is for', '')
    .option('--operator', 'it may look at the raw queue, which holds the jobs of every tenant')
    .addHelpText('after', example('longhaul keys create --tenant acme --name "nightly batches"'))
    .action(async (options: Common & { tenant: string; name: string; operator?: boolean }) => {
      await withSession(context, options.data, async ({ store }) => {
        const { tenant, name, operator = false } = options;
        const { key, record } = await new ApiKeys(store, context.clock).create({ tenant, name, operator });
        if (options.json === true) return writeJson(context.stdout, { id: record.id, tenant, name, operator, key });
        return write(context.stdout, `${key}\n`);
      });
    });
  addCommon(keys.command('ls'))
    .description('all keys, without their secrets')
    .addHelpText('after', example('longhaul keys ls'))
    .action(async (options: Common) => {
      await withSession(context, options.data, async ({ store }) => {
        const found = await newestLast(new ApiKeys(store, context.clock));
        if (options.json === true) return writeJson(context.stdout, { keys: found });
        const rows = found.map(({ id, tenant, name, operator, createdAt, revokedAt }) => [
          id,
          tenant,
          operator ? 'operator' : 'tenant',
          createdAt.slice(0, 16).replace('T', ' '),
          revokedAt === null ? 'valid' : 'revoked',
          name,
        ]);
        if (rows.length === 0) return write(context.stdout, 'no keys: longhaul keys create\n');
        return write(context.stdout, table([['KEY', 'TENANT', 'ROLE', 'CREATED', 'STATUS', 'NAME'], ...rows]));
      });
    });
  addCommon(keys.command('revoke <key>'))
    .description('refuse a key from now on (servers have forgotten it within ten seconds)')
    .addHelpText('after', example('longhaul keys revoke 0123456789abcdef'))
    .action(async (id: string, options: Common) => {
      await withSession(context, options.data, async ({ store }) => {
        const { tenant, name, revokedAt } = await new ApiKeys(store, context.clock).revoke(id);
        if (options.json === true) return writeJson(context.stdout, { id, tenant, name, revokedAt });
        return write(context.stdout, `${id} of tenant ${tenant} is revoked\n`);
      });
    });
}

async function newestLast(keys: ApiKeys) {
  const found: Omit<ApiKeyRecord, 'v' | 'sha256'>[] = [];
  for await (const { v: _, sha256: __, ...record } of keys.list()) found.push(record);
  return found.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
}
