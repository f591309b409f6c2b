import { parseArgs } from 'node:util';
import { describeError } from '@longhaul/core/contracts';
import { type Device, loadModel } from '@longhaul/native';
import { z } from 'zod';
import { checkModel, type ModelReport } from './check.ts';
import { findGoldenFolders, readGoldenFolder } from './folder.ts';
import { formatReport } from './report.ts';

const usage = `golden: compares the engine with stored reference results

  npm run golden -- DIR [DIR...] [--json] [--threads N] [--device cpu]

Each DIR is one model in the golden format (config.json, weights, goldens.safetensors, manifest.json) or a folder of
such models. Everything the manifest lists is run and compared with the f64 oracle: logits, log-probabilities, states,
greedy continuations, scores, restored and chunked runs, batches, file digests. What the engine cannot give is listed
with its reason. The tolerances follow from the stored f32 run (scripts/golden/tolerance.ts).

  --json       one JSON array of reports on stdout
  --threads N  threads of the engine (default: its own choice)
  --device D   device of the engine (default: cpu)

Exit status: 0 when all is within tolerance, 1 on any miss or when nothing was checked, 2 on wrong usage.

Example:
  npm run golden -- test/fixtures/golden`;

const DeviceName = z.templateLiteral(['cuda:', z.int().nonnegative()]).or(z.enum(['cpu', 'auto']));

async function checkFolder(dir: string, device: Device, threads: number | null): Promise<ModelReport> {
  const folder = await readGoldenFolder(dir);
  const model = await loadModel(dir, { device, weights: 'as-stored', activations: 'f32', threads, slots: null });
  try {
    return await checkModel(folder, model);
  } finally {
    model.close();
  }
}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      threads: { type: 'string' },
      device: { type: 'string', default: 'cpu' },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (positionals.length === 0) {
    console.error(`no folder given\n\n${usage}`);
    return 2;
  }
  const threads = values.threads === undefined ? null : Number(values.threads);
  if (threads !== null && !(Number.isInteger(threads) && threads > 0)) {
    console.error(`--threads is a whole number from 1, found ${values.threads}`);
    return 2;
  }
  const device = DeviceName.safeParse(values.device);
  if (!device.success) {
    console.error(`--device is cpu, auto or cuda:N, found ${values.device}`);
    return 2;
  }
  const reports: ModelReport[] = [];
  let unfinished = 0;
  for (const path of positionals) {
    const dirs = await findGoldenFolders(path).catch((error: unknown) => {
      console.error(`${path}: ${describeError(error)}`);
      return [];
    });
    if (dirs.length === 0) {
      console.error(`${path}: no golden model here (a folder with manifest.json and goldens.safetensors)`);
      unfinished++;
    }
    for (const dir of dirs) {
      try {
        const report = await checkFolder(dir, device.data, threads);
        reports.push(report);
        if (!values.json) console.log(formatReport(report).join('\n'));
      } catch (error) {
        unfinished++;
        console.error(`${dir}: could not be checked: ${describeError(error)}`);
      }
    }
  }
  if (values.json) console.log(JSON.stringify(reports, null, 2));
  const missed = reports.filter(({ ok }) => !ok).length;
  if (!values.json) console.log(`${reports.length} checked, ${missed} with a miss, ${unfinished} not checked`);
  return reports.length > 0 && missed === 0 && unfinished === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 2;
}
