// `npm run simulate:day`: a day of arrivals under the controller's own policy, beside others.
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { table } from '../../../producer/render/table.ts';
import { type Arrival, arrivalLines, parseArrivals } from './arrival.ts';
import { playRow, type Row, strategiesOf, variationsOf } from './compare.ts';
import { costRows, docBusyShares } from './cost-model.ts';
import { arrivalsOfJobs } from './from-jobs.ts';
import { generateDay } from './generate-day.ts';
import { playDay } from './measure.ts';
import { type Assumptions, defaults, parameterRows, withSettings } from './parameters.ts';
import { dayPicture } from './picture.ts';
import { markdownTable, rowsOf, turned } from './report.ts';
import { ours } from './strategies/ours.ts';

const storedDay = path.resolve(import.meta.dirname, '../../fixtures/arrivals/day.jsonl');

const usage = `simulate:day: what a day costs and how long its jobs wait, under the controller's policy and under others

  npm run simulate:day -- [--arrivals FILE] [--seed S] [--seeds N] [--set NAME=VALUE …] [--sensitivity] [--svg FILE]
                          [--markdown | --json]
  npm run simulate:day -- --assumptions | --costs
  npm run simulate:day -- --from-jobs FILE [--date YYYY-MM-DD] > day.jsonl

Workers boot, share their tokens a second between their slots, commit, are interrupted with and without a notice, and end
when idle. A seed decides all luck, and every strategy meets the same. Shown are medians over the seeds and (least–most).

  --arrivals FILE   one job a line: {"at": seconds, "tenant": "a", "tokens": n, "written"?, "questions"?, "deadline"?: seconds}
                    (default: the stored, invented day)
  --seed S          the first seed (default 1); --seeds N: how many (default 9)
  --set NAME=VALUE  another assumption; --assumptions lists them with their units and sources
  --sensitivity     also our strategy with one thing changed at a time
  --svg FILE        draws the day of the first seed
  --costs           dollars a million tokens, by machine and by how busy it is
  --from-jobs FILE  arrivals of a real day: FILE holds what \`longhaul jobs all --limit 100000 --json\` printed
  --date            the day (UTC) of these jobs; default: the one with the most
  --generate SEED   prints an invented day, as the stored one was made
  --markdown        tables of Markdown; --json: one JSON object on stdout

Example:
  npm run simulate:day -- --seeds 3 --set maxWorkers=4 --set idleExitSeconds=120`;

const say = (text: string) => process.stdout.write(text);

interface Settings {
  readonly a: Assumptions;
  readonly seeds: readonly number[];
  readonly sensitivity: boolean;
}

interface Simulated {
  readonly strategies: readonly Row[];
  readonly sensitivity: readonly Row[];
}

function whole(name: string, value: string, least: number): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new Error(`--${name} is a whole number from ${least}, found ${value}`);
}

function simulateAll(arrivals: readonly Arrival[], { a, seeds, sensitivity }: Settings): Simulated {
  const strategies = strategiesOf(arrivals, a);
  const variations = sensitivity ? variationsOf(a) : [];
  const days = (strategies.length + variations.length) * seeds.length;
  let done = 0;
  const played = () => {
    done += 1;
    if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${days} days${done === days ? '\n' : ''}`);
    else if (done % 25 === 0 || done === days) process.stderr.write(`${done} of ${days} days\n`);
  };
  return {
    strategies: strategies.map((strategy) => playRow(strategy.name, arrivals, strategy, a, seeds, played)),
    sensitivity: variations.map((one) => playRow(one.name, arrivals, ours(one.a), one.a, seeds, played)),
  };
}

function describeDay(arrivals: readonly Arrival[]): string {
  const tokens = arrivals.reduce((sum, one) => sum + one.tokens, 0);
  const tenants = new Set(arrivals.map(({ tenant }) => tenant)).size;
  const due = arrivals.filter(({ deadline }) => deadline !== undefined).length;
  return `${arrivals.length} jobs of ${tenants} tenants, ${(tokens / 1e6).toFixed(0)} M tokens to read, ${due} with a deadline`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      arrivals: { type: 'string', default: storedDay },
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '9' },
      set: { type: 'string', multiple: true, default: [] },
      sensitivity: { type: 'boolean', default: false },
      svg: { type: 'string' },
      costs: { type: 'boolean', default: false },
      assumptions: { type: 'boolean', default: false },
      'from-jobs': { type: 'string' },
      date: { type: 'string' },
      generate: { type: 'string' },
      markdown: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const a = withSettings(defaults, values.set);
  const show = (rows: string[][]) => say(`${values.markdown ? markdownTable(rows) : table(rows)}\n`);
  if (values.help) return void say(`${usage}\n`);
  if (values.assumptions) {
    if (values.json) return void say(`${JSON.stringify(a, null, 1)}\n`);
    return void show([['name', 'value', 'unit', 'from'], ...parameterRows(a)]);
  }
  if (values.costs) {
    const rows = costRows(docBusyShares);
    return void (values.json ? say(`${JSON.stringify(rows, null, 1)}\n`) : show(rows));
  }
  if (values.generate !== undefined) return void say(arrivalLines(generateDay(whole('generate', values.generate, 0))));
  const list = values['from-jobs'];
  if (list !== undefined) {
    const { arrivals, date, unknown } = arrivalsOfJobs(await readFile(list, 'utf8'), values.date ?? null);
    process.stderr.write(`${date}: ${arrivals.length} jobs; ${unknown.length} of unknown size left out\n`);
    return void say(arrivalLines(arrivals));
  }

  const arrivals = parseArrivals(await readFile(values.arrivals, 'utf8'), values.arrivals);
  const first = whole('seed', values.seed, 0);
  const seeds = Array.from({ length: whole('seeds', values.seeds, 1) }, (_, i) => first + i);
  const { svg } = values;
  if (svg !== undefined) {
    const days = strategiesOf(arrivals, a).map((strategy) => ({
      name: strategy.name,
      ...playDay(arrivals, strategy, a, first),
    }));
    await writeFile(svg, dayPicture(days, arrivals));
    process.stderr.write(`${svg} written\n`);
  }
  const simulated = simulateAll(arrivals, { a, seeds, sensitivity: values.sensitivity });
  if (values.json)
    return void say(`${JSON.stringify({ arrivals: values.arrivals, seeds, assumptions: a, ...simulated }, null, 1)}\n`);
  if (!values.markdown) say(`${describeDay(arrivals)}; seeds ${seeds[0]}–${seeds.at(-1)}\n\n`);
  const compared = rowsOf('strategy', simulated.strategies);
  show(values.markdown ? turned(compared) : compared);
  const few = ['cost', 'waitP50', 'tenantWaitP95', 'idleShare', 'starts', 'interruptions', 'recomputed'] as const;
  if (values.sensitivity) show(rowsOf('longhaul, with', simulated.sensitivity, few));
}

try {
  await main();
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 2;
}
