import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { runProgram } from '../checks/program.ts';
import { judged, type Result, render, skipped } from '../checks/report.ts';
import { type Base, parseBases, reference, withDigest } from './bases.ts';
import { buildCommand, engineNames, findEngine, isEngineName, parseSize, sizeCommand } from './engine.ts';
import { byteLimits, type ImageName, imageNames, isImageName } from './images.ts';
import { lintImages } from './lint.ts';
import { resolveDigest } from './registry.ts';
import type { Finding } from './rules.ts';

const usage = `usage: npm run images -- [options]

Checks the Dockerfiles of infra/images, then builds the images with the first engine that works here (${engineNames.join(', ')}).
Base images are those of infra/images/bases.env, by their digests. Files and images are dated by the last commit, so the same
commit on the same bases gives the same layers.

  --only NAME           one image, may be given several times: ${imageNames.join(', ')}
  --check               check alone; needs no engine (npm run check:images)
  --resolve             ask the registries for the digest of each base, and write it to bases.env
  --engine NAME         this engine and no other: ${engineNames.join(', ')}
  --engine-option OPT   an option more for the engine's build command, may be given several times
  --tag TAG             tag of the images longhaul-NAME:TAG (default: the version in package.json)
  --unpinned            build also on bases without a digest; not for images that anybody else runs
  --json                one JSON object in place of text
  --help

Exit code: 0 all is well; 1 something is wrong; 2 wrong usage; 3 checked, and nothing built because no engine works here.

Examples:
  npm run images -- --check
  npm run images -- --resolve
  npm run images -- --only control --only worker-cpu
`;

const root = path.resolve(import.meta.dirname, '..', '..');
const basesFile = path.join(root, 'infra', 'images', 'bases.env');

interface Options {
  readonly names: readonly ImageName[];
  readonly engine: string | undefined;
  readonly engineOptions: readonly string[];
  readonly tag: string | undefined;
  readonly check: boolean;
  readonly resolve: boolean;
  readonly unpinned: boolean;
  readonly json: boolean;
}

interface Built {
  readonly image: ImageName;
  readonly tag: string;
  readonly bytes: number | null;
  readonly limit: number;
  readonly seconds: number;
}

function parse(argv: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: 'string', multiple: true, default: [] },
      check: { type: 'boolean', default: false },
      resolve: { type: 'boolean', default: false },
      engine: { type: 'string' },
      'engine-option': { type: 'string', multiple: true, default: [] },
      tag: { type: 'string' },
      unpinned: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return null;
  const unknown = values.only.find((name) => !isImageName(name));
  if (unknown !== undefined) throw new Error(`--only takes ${imageNames.join(', ')}; found ${unknown}`);
  if (values.engine !== undefined && !isEngineName(values.engine)) {
    throw new Error(`--engine takes ${engineNames.join(', ')}; found ${values.engine}`);
  }
  if (values.tag !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(values.tag)) {
    throw new Error(`--tag takes letters, digits, _ . and -; found ${JSON.stringify(values.tag)}`);
  }
  const { check, resolve, unpinned, json, engine, tag } = values;
  const names = values.only.length === 0 ? imageNames : values.only.filter(isImageName);
  return { names, engine, engineOptions: values['engine-option'], tag, check, resolve, unpinned, json };
}

async function main(options: Options): Promise<number> {
  const say = (text: string) => void (options.json ? undefined : process.stdout.write(`${text}\n`));
  const report = (code: number, more: Readonly<Record<string, unknown>>) => {
    if (options.json) process.stdout.write(`${JSON.stringify(more)}\n`);
    return code;
  };
  const findings = await lintImages(root, options.names);
  if (options.check && !options.resolve) return checkAlone(options, findings);
  for (const { file, line, rule, message } of findings) say(`${file}:${line}: ${rule}: ${message}`);
  if (findings.length > 0) return report(1, { findings });
  say(`checked: ${options.names.join(', ')}`);
  if (options.resolve) return report(0, { findings, resolved: await resolveBases(say) });
  const bases = parseBases(await readFile(basesFile, 'utf8'));
  const open = bases.filter(({ digest }) => digest === null);
  if (open.length > 0) {
    say(
      `without a digest in bases.env: ${open.map(({ name }) => name).join(', ')}; npm run images -- --resolve asks for them`,
    );
  }
  const asked = options.engine !== undefined && isEngineName(options.engine) ? [options.engine] : engineNames;
  const { engine, tried } = await findEngine(asked);
  for (const [name, reason] of Object.entries(tried)) say(`${name}: ${reason}`);
  if (engine === null) {
    say('no container engine works here: nothing was built');
    return report(3, { findings, engine: null, tried });
  }
  if (open.length > 0 && !options.unpinned) {
    throw new Error(
      `infra/images/bases.env has no digest for ${open.map(({ name }) => name).join(', ')}: run npm run images -- --resolve, or give --unpinned`,
    );
  }
  const built = await build(options, engine, bases, say);
  const large = built.filter(({ bytes, limit }) => bytes !== null && bytes > limit);
  return report(large.length === 0 ? 0 : 1, { findings, engine, tried, built });
}

async function checkAlone({ names, json }: Options, findings: readonly Finding[]): Promise<number> {
  const faults = findings.map(({ file, line, rule, message }) => `${file}:${line}: ${rule}: ${message}`);
  const results = [judged('images', names.join(', '), faults), digests(parseBases(await readFile(basesFile, 'utf8')))];
  process.stdout.write(json ? `${JSON.stringify({ results })}\n` : render(results));
  return faults.length === 0 ? 0 : 1;
}

/** A base without a digest is refused where an image is built, and not here. */
function digests(bases: readonly Base[]): Result {
  const open = bases.filter(({ digest }) => digest === null).map(({ name }) => name);
  if (open.length === 0) return judged('digests of bases', `${bases.length} bases`, []);
  return skipped('digests of bases', `none of ${open.join(', ')} yet; npm run images -- --resolve asks for them`);
}

async function build(
  { names, engineOptions, json, tag }: Options,
  engine: (typeof engineNames)[number],
  bases: readonly Base[],
  say: (text: string) => void,
): Promise<Built[]> {
  const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as { version: string };
  const [revision, epoch] = await lastCommit();
  const built: Built[] = [];
  for (const image of names) {
    const named = `longhaul-${image}:${tag ?? version}`;
    say(`${named}: building with ${engine} …`);
    const began = performance.now();
    const command = buildCommand(engine, {
      file: `infra/images/${image}.Dockerfile`,
      tag: named,
      buildArgs: {
        ...Object.fromEntries((await basesOf(image, bases)).map((base) => [base.name, reference(base)])),
        ...{ VERSION: version, REVISION: revision, CREATED: new Date(1000 * epoch).toISOString() },
      },
      epoch,
      options: engineOptions,
    });
    const echo = json ? () => {} : (text: string) => void process.stdout.write(text);
    const { code, stderr } = await runProgram(engine, command, { cwd: root, echo });
    if (code !== 0) throw new Error(`${engine} ${command.join(' ')} exited with ${code}\n${stderr.slice(-4000)}`);
    const seconds = (performance.now() - began) / 1000;
    const sized = await runProgram(engine, sizeCommand(engine, named));
    const bytes = parseSize(engine, sized.stdout);
    const limit = byteLimits[image];
    built.push({ image, tag: named, bytes, limit, seconds });
    const size = bytes === null ? 'size unknown' : `${(bytes / 1e6).toFixed(0)} MB of at most ${limit / 1e6} MB`;
    say(`${named}: ${size}, ${seconds.toFixed(0)} s${bytes !== null && bytes > limit ? ': TOO LARGE' : ''}`);
  }
  return built;
}

/** An argument that a Dockerfile does not declare would be warned about. */
async function basesOf(image: ImageName, bases: readonly Base[]): Promise<readonly Base[]> {
  const text = await readFile(path.join(root, 'infra', 'images', `${image}.Dockerfile`), 'utf8');
  return bases.filter(({ name }) => text.includes(`\${${name}}`));
}

async function resolveBases(say: (text: string) => void): Promise<Readonly<Record<string, string>>> {
  const resolved: Record<string, string> = {};
  for (const base of parseBases(await readFile(basesFile, 'utf8'))) {
    const digest = await resolveDigest(base);
    await writeFile(basesFile, withDigest(await readFile(basesFile, 'utf8'), base, digest));
    resolved[base.name] = reference({ ...base, digest });
    say(`${base.name}=${resolved[base.name]}${base.digest === digest ? ' (as before)' : ''}`);
  }
  return resolved;
}

/** The commit and its time in seconds; what is not committed is in no image that others should run. */
async function lastCommit(): Promise<readonly [string, number]> {
  const { code, stdout, stderr } = await runProgram('git', ['log', '-1', '--format=%H %ct'], { cwd: root });
  const [revision, epoch] = stdout.trim().split(' ');
  if (code !== 0 || revision === undefined || epoch === undefined) throw new Error(`git log: ${stderr.trim()}`);
  const { stdout: changed } = await runProgram('git', ['status', '--porcelain', '--untracked-files=no'], { cwd: root });
  return [changed.trim() === '' ? revision : `${revision}-changed`, Number(epoch)];
}

let options: Options | null = null;
try {
  options = parse(process.argv.slice(2));
  if (options === null) process.stdout.write(usage);
  else process.exitCode = await main(options);
} catch (error) {
  const message = (error as Error).message;
  if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify({ error: { message } })}\n`);
  else process.stderr.write(`images: ${message}\n`);
  process.exitCode = options === null ? 2 : 1;
}
