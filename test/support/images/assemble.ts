import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { cp, glob, mkdir, readFile, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import {
  environmentOf,
  execForm,
  type Instruction,
  parseDockerfile,
  type Stage,
} from '../../../scripts/images/dockerfile.ts';
import type { ImageName } from '../../../scripts/images/images.ts';
import { contextFilter } from './ignore.ts';
import { installedBy } from './packages.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const execute = promisify(execFile);

export interface AssembledImage {
  /** The image's root folder. */
  readonly rootfs: string;
  /** The working directory of its processes, within `rootfs`. */
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly cmd: readonly string[];
}

/**
 * The files of an image as its Dockerfile gathers them, without an engine: every COPY is done, with .dockerignore applied; `npm ci`
 * puts the packages there that the lock file has for its workspaces; `install` and `mkdir` are done; building the addon copies
 * the one of this checkout. The base's own files and whatever comes from the system (node, tini) are left out.
 */
export async function assembleImage(name: ImageName, dir: string): Promise<AssembledImage> {
  const file = path.join(root, 'infra', 'images', `${name}.Dockerfile`);
  const dockerfile = parseDockerfile(file, await readFile(file, 'utf8'));
  const { stages } = dockerfile;
  const seen = await contextFilter(root);
  const folders = new Map<string, string>();
  let rootfs = '';
  let workdir = '/';
  for (const [index, stage] of stages.entries()) {
    rootfs = path.join(dir, `stage-${index}`);
    await mkdir(rootfs, { recursive: true });
    const below = folders.get(stage.base);
    if (below !== undefined) await copy(below, rootfs);
    workdir = await runStage(stage, { rootfs, folders, seen });
    if (stage.name !== null) folders.set(stage.name, rootfs);
  }
  const last = stages.at(-1)!;
  const cmd = last.instructions.findLast((at) => at.name === 'CMD');
  return {
    rootfs,
    workdir: path.join(rootfs, workdir),
    env: environmentOf(dockerfile),
    cmd: cmd === undefined ? [] : (execForm(cmd) ?? []),
  };
}

interface StageParts {
  readonly rootfs: string;
  readonly folders: ReadonlyMap<string, string>;
  readonly seen: (file: string) => boolean;
}

/** Resolves to the working directory that the stage ends in. */
async function runStage(stage: Stage, { rootfs, folders, seen }: StageParts): Promise<string> {
  let workdir = '/app';
  for (const at of stage.instructions) {
    if (at.name === 'WORKDIR') {
      workdir = path.resolve(workdir, at.rest);
      await mkdir(path.join(rootfs, workdir), { recursive: true });
    }
    if (at.name === 'COPY') {
      const from = at.flags['from'];
      if (from === undefined) await copyFromContext(at, path.join(rootfs, workdir), seen);
      else await copyFromStage(at, folders.get(from)!, (to) => path.join(rootfs, path.resolve(workdir, to)));
    }
    if (at.name === 'RUN') for (const command of at.rest.split('&&')) await run(command.trim(), rootfs, workdir);
  }
  return workdir;
}

async function copyFromContext(at: Instruction, workdir: string, seen: (file: string) => boolean): Promise<void> {
  const words = at.rest.split(/\s+/);
  const to = words.pop()!;
  for (const word of words) {
    const sources: string[] = [];
    for await (const source of glob(word, { cwd: root })) sources.push(source);
    if (sources.length === 0) throw new Error(`COPY ${word}: the context has no such file`);
    for (const source of sources.filter((file) => seen(file))) {
      const folder = (await stat(path.join(root, source))).isDirectory();
      const into = path.join(
        workdir,
        to,
        !folder && (to.endsWith('/') || words.length > 1) ? path.basename(source) : '',
      );
      await mkdir(path.dirname(into), { recursive: true });
      await cp(path.join(root, source), into, {
        recursive: true,
        mode: constants.COPYFILE_FICLONE,
        filter: (from) => seen(path.relative(root, from)),
      });
    }
  }
}

async function copyFromStage(at: Instruction, stage: string, place: (to: string) => string): Promise<void> {
  const [from = '', to = ''] = at.rest.split(/\s+/);
  // Programs of the base stand for themselves.
  if (from.startsWith('/usr/')) return;
  const source = path.join(stage, from);
  if ((await stat(source).catch(() => null)) === null) {
    if (from === '/files/usr') return;
    throw new Error(`COPY --from: the stage has no ${from}`);
  }
  await mkdir(place(to), { recursive: true });
  await copy(source, place(to));
}

async function run(command: string, rootfs: string, workdir: string): Promise<void> {
  const words = command.split(/\s+/);
  const within = (file: string) => path.join(rootfs, path.resolve(workdir, file));
  if (command.startsWith('npm ci')) {
    const workspaces = words.filter((_, index) => words[index - 1] === '--workspace');
    const optional = !words.includes('--omit=optional');
    await installPackages(within('.'), await installedBy(within('package-lock.json'), workspaces, { optional }));
  } else if (command.startsWith('node scripts/build-native.mjs')) {
    await stat(within('scripts/build-native.mjs'));
    await mkdir(within('native/build'), { recursive: true });
    await cp(path.join(root, 'native/build/longhaul.node'), within('native/build/longhaul.node'));
  } else if (words[0] === 'install') {
    const [from, to] = words.filter((word) => !word.startsWith('-')).slice(-2);
    if (from!.startsWith('/usr/') || command.includes('$(')) return;
    await mkdir(path.dirname(within(to!)), { recursive: true });
    await cp(within(from!), within(to!));
  } else if (words[0] === 'mkdir') {
    await mkdir(within(words.at(-1)!), { recursive: true });
  } else if (!/^(apt-get|cp|rm|chmod|find)$/.test(words[0]!)) {
    throw new Error(`RUN ${command}: nobody has told how this is done without an engine`);
  }
}

async function installPackages(
  folder: string,
  { packages, links }: Awaited<ReturnType<typeof installedBy>>,
): Promise<void> {
  for (const at of packages) await mkdir(path.join(folder, path.dirname(at)), { recursive: true });
  const byFolder = Map.groupBy(packages, (at) => path.dirname(at));
  for (const [to, some] of byFolder) {
    const sources = some.map((at) => path.join(root, at));
    await linkFiles(sources, path.join(folder, to));
  }
  for (const { link, target } of links) {
    await mkdir(path.dirname(path.join(folder, link)), { recursive: true });
    await symlink(path.relative(path.dirname(link), target), path.join(folder, link));
  }
}

async function copy(from: string, to: string): Promise<void> {
  await linkFiles([`${from}/.`], to);
}

/** Hard links where both folders are on one disk: a package is never written to. */
async function linkFiles(sources: readonly string[], to: string): Promise<void> {
  try {
    await execute('cp', ['-al', ...sources, to]);
  } catch {
    await execute('cp', ['-a', ...sources, to]);
  }
}
