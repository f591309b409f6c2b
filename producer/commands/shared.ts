import { LonghaulError } from '@longhaul/core/contracts';
import { type Command, Option } from 'commander';

/** Every command shows how it is typed. */
export function example(...lines: readonly string[]): string {
  return `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

export function dataOption(): Option {
  return new Option('--data <dir>', 'directory of `longhaul up` (default: LONGHAUL_DATA, else .longhaul)');
}

export function jsonOption(text = 'print JSON'): Option {
  return new Option('--json', text);
}

/** Most commands name a job, say where to look for it, and can print JSON. */
export function addCommon(command: Command): Command {
  return command.addOption(dataOption()).addOption(jsonOption());
}

/** @throws LonghaulError `invalid_argument` naming the flag, the range and what was found */
export function parseNumber(
  flag: string,
  text: string,
  range: { readonly least: number; readonly most: number; readonly whole: boolean },
): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  const fits = value >= range.least && value <= range.most && (!range.whole || Number.isInteger(value));
  if (fits) return value;
  throw new LonghaulError(
    'invalid_argument',
    `${flag} takes ${range.whole ? 'an integer' : 'a number'} from ${range.least} to ${range.most}; found ${JSON.stringify(text)}`,
  );
}
