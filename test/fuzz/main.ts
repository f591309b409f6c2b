// `npm run fuzz`: hostile files at the parsers that are TypeScript. The native ones: `npm run sanitize`.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { type FuzzOutcome, fuzz } from './loop.ts';
import { targets } from './targets.ts';

const usage = `fuzz: hostile model folders, states and tokenizers at their parsers, guided by coverage

  npm run fuzz -- [--seconds N] [--target NAME] [--seed N] [--json]

Replays test/fuzz/corpus and .cache/fuzz, then mutates; inputs that reach new code are kept in .cache/fuzz. Stops at the
first input that ends in anything but success or a refusal, or that takes more than 2 s.

  --seconds N    a target (default 20)
  --target NAME  ${targets.map(({ name }) => name).join(', ')}
  --seed N       default: the time
  --json         one JSON object on stdout

Example:
  npm run fuzz -- --target safetensors --seconds 3600`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '20' },
      target: { type: 'string' },
      seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(usage);
  const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new Error(`--seconds is a whole number from 1, found ${values.seconds}`);
  if (!Number.isInteger(seed)) throw new Error(`--seed is a whole number, found ${values.seed}`);
  const wanted = targets.filter(({ name }) => values.target === undefined || name === values.target);
  if (wanted.length === 0)
    throw new Error(`--target is ${targets.map(({ name }) => name).join(', ')}, found ${values.target}`);
  const outcomes: Record<string, FuzzOutcome> = {};
  for (const target of wanted) {
    process.stderr.write(`${target.name}, seed ${seed}, ${seconds} s …\n`);
    const folder = (root: string) => fileURLToPath(new URL(`${root}/${target.name}`, import.meta.url));
    const grow = folder('../../.cache/fuzz');
    const outcome = await fuzz(target, {
      seed,
      runs: Number.POSITIVE_INFINITY,
      ms: 1000 * seconds,
      corpus: [folder('corpus'), grow],
      grow,
    });
    outcomes[target.name] = outcome;
    if (!values.json) console.log(`${target.name}: ${JSON.stringify(outcome)}`);
  }
  if (values.json) console.log(JSON.stringify(outcomes, null, 1));
}

try {
  await main();
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
