import type { Command } from 'commander';
import { type CommandContext, exitCodes, write, writeJson } from '../context.ts';
import type { Finding } from '../doctor/examine.ts';
import { addCommon, example } from './shared.ts';

export function addDoctor(program: Command, context: CommandContext): void {
  addCommon(program.command('doctor'))
    .description('look for everything that longhaul needs on this machine, and say what to do where it is missing')
    .option('--model <dir or name>', 'the model to look at (default: LONGHAUL_MODEL, else tiny-english)')
    .addHelpText('after', example('longhaul doctor', 'longhaul doctor --model /models/falcon-mamba-7b --json'))
    .action(async (options: { data?: string; json?: boolean; model?: string }) => {
      const { examine } = await import('../doctor/examine.ts');
      const findings = await examine(options, context);
      const ok = findings.every((finding) => finding.status !== 'missing');
      if (options.json === true) await writeJson(context.stdout, { ok, checks: findings });
      else await write(context.stdout, findings.map(line).join(''));
      context.finish(ok ? exitCodes.ok : exitCodes.failed);
    });
}

function line({ name, status, found, remedy }: Finding): string {
  const mark = { ok: 'ok     ', warn: 'warn   ', missing: 'MISSING' }[status];
  return `${mark} ${name.padEnd(10)} ${found}\n${remedy === null ? '' : `${' '.repeat(19)}→ ${remedy}\n`}`;
}
