import { parseArgs } from 'node:util';
import { type Checked, checkAll } from './check.ts';
import { readSchema } from './schema.ts';
import { checkFormatting, terraformVersion, validate } from './terraform-program.ts';

const usage = `usage: npm run check:terraform -- [--mirror DIRECTORY] [--json]

Checks terraform/ without credentials and without a network: it parses, every argument is one of the provider's, every name
means something, examples/complete comes to values that its validations take, no policy is wider than its reason, the table in
docs/iam.md says what the policies say, and the programs take the environment that their tasks give them. Where terraform is in
PATH, its own fmt is asked too.

  --mirror  directory with providers (a filesystem mirror): terraform validate is run with what it holds
  --json    one JSON object

Exit status: 0 when nothing is wrong, 1 when something is, 2 on wrong usage.

Example:
  npm run check:terraform -- --mirror /usr/local/share/terraform/plugins
`;

/** terraform's own word, where there is one to be had; what could not be asked is said. */
async function askTerraform(mirror: string | undefined): Promise<Checked[]> {
  const version = await terraformVersion();
  if (version === null)
    return [{ name: 'terraform', faults: [], note: 'not in PATH: fmt and validate were not asked' }];
  const fmt: Checked = { name: 'fmt', faults: await checkFormatting(), note: `terraform ${version}` };
  if (mirror === undefined)
    return [fmt, { name: 'validate', faults: [], note: 'not asked: it needs a provider, see --mirror' }];
  const { faults, note } = await validate(mirror, await readSchema());
  return [fmt, { name: 'validate', faults, note }];
}

async function main(): Promise<number> {
  let options: { mirror?: string; json: boolean; help: boolean };
  try {
    const { values } = parseArgs({
      options: {
        mirror: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    options = values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}`);
    return 2;
  }
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const checks = [...(await checkAll()), ...(await askTerraform(options.mirror))];
  const faults = checks.reduce((sum, one) => sum + one.faults.length, 0);
  if (options.json) process.stdout.write(`${JSON.stringify({ ok: faults === 0, checks })}\n`);
  else {
    for (const { name, faults: found, note } of checks) {
      process.stdout.write(`${found.length === 0 ? 'ok   ' : 'WRONG'} ${name.padEnd(12)} ${note}\n`);
      for (const { where, text } of found) process.stdout.write(`        ${where}: ${text}\n`);
    }
    process.stdout.write(`${faults === 0 ? 'nothing is wrong' : `${faults} faults`}\n`);
  }
  return faults === 0 ? 0 : 1;
}

process.exitCode = await main();
