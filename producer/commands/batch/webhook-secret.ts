import { webhookSecret } from '@longhaul/core/webhooks';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../../context.ts';
import { withSession } from '../../session.ts';
import { tenant } from '../../state-ref.ts';
import { addCommon, example } from '../shared.ts';

export function addWebhookSecret(batch: Command, context: CommandContext): void {
  addCommon(batch.command('webhook-secret'))
    .description('the key that webhooks are signed with, made when it is first asked for (Standard Webhooks)')
    .addHelpText('after', example('longhaul batch webhook-secret'))
    .action(async (options: { data?: string; json?: boolean }) => {
      const secret = await withSession(context, options.data, ({ store }) => webhookSecret(store, tenant));
      if (options.json === true) await writeJson(context.stdout, { secret });
      else await write(context.stdout, `${secret}\n`);
      context.finish(exitCodes.ok);
    });
}
