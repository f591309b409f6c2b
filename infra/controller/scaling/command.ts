import { LonghaulError } from '@longhaul/core/contracts';
import type { ScalingRecord } from '@longhaul/core/scaling';
import type { Command } from 'commander';
import type { ScalingSwitches } from './operate.ts';

type Work = (switches: ScalingSwitches) => Promise<ScalingRecord>;

/** `longhaul controller scaling …`. `run` opens the store, does the work and prints the record that comes of it. */
export function addScaling(
  program: Command,
  run: (work: Work, options: { readonly json?: boolean }) => Promise<void>,
): void {
  const scaling = program
    .command('scaling')
    .description('see, stop and lift what starts workers; needs LONGHAUL_STORE alone, and every controller follows')
    .addHelpText('after', '\nExample:\n  longhaul controller scaling show --json\n');
  const add = (name: string, description: string, example: string) =>
    scaling
      .command(name)
      .description(description)
      .option('--json', 'print the record as JSON')
      .addHelpText('after', `\nExample:\n  ${example}\n`);
  add('show', 'worker-hours of today, workers that were started, refusals', 'longhaul controller scaling show').action(
    async (options) => await run((switches) => switches.read(), options),
  );
  add(
    'pause',
    'start nothing from now on; what runs goes on to its end',
    "longhaul controller scaling pause --reason 'prices'",
  )
    .option('--reason <text>', 'for the log, and for whoever asks', 'by hand')
    .action(async (options) => await run((switches) => switches.pause(options.reason), options));
  add('resume', 'start workers as they are needed again', 'longhaul controller scaling resume').action(
    async (options) => await run((switches) => switches.resume(), options),
  );
  add(
    'lift',
    'allow more worker-hours than the budget for the rest of the day (UTC)',
    'longhaul controller scaling lift --hours 20',
  )
    .requiredOption('--hours <n>', 'worker-hours beyond LONGHAUL_SCALE_MAX_WORKER_HOURS')
    .action(async (options) => {
      const hours = Number(options.hours);
      if (!(hours > 0 && hours <= 100_000))
        throw new LonghaulError(
          'invalid_argument',
          `--hours: above 0 to 100000; found ${JSON.stringify(options.hours)}`,
        );
      await run((switches) => switches.lift(hours), options);
    });
}
