import { posix as path } from 'node:path';
import { secretName, secretValue } from '../checks/secrets.ts';
import { type Base, reference } from './bases.ts';
import { commands, copied, type Dockerfile, execForm, type Instruction, pairs, type Stage } from './dockerfile.ts';

export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

/** What an image of ours holds to beyond being a valid Dockerfile. A rule yields what it finds wrong, and where. */
type Rule = (file: Dockerfile, bases: readonly Base[]) => Iterable<{ readonly at: Instruction; readonly says: string }>;

const user = '65532:65532';
const labels = ['title', 'description', 'version', 'revision', 'created'].map((n) => `org.opencontainers.image.${n}`);
const [apt, npm, npx] = [/^(\S*\/)?apt(-get)?$/, /^(\S*\/)?npm$/, /^(\S*\/)?npx$/];
/** What brings packages without keeping to the lock file, or runs one, and the other names of `ci`, which one rule should find. */
const looseNpm =
  /^(i|in|ins|inst|insta|instal|install|isntall|add|up|update|upgrade|exec|x|it|install-test|ic|clean-install|install-clean)$/;

const rules: Readonly<Record<string, Rule>> = {
  *'pinned-base'(file, bases) {
    const declared = new Map(file.globals.flatMap((arg) => pairs(arg).map((pair) => [pair.name, pair.value])));
    for (const [index, { base, from }] of file.stages.entries()) {
      if (earlier(file, index).has(base)) continue;
      const argument = /^\$\{([A-Z_]+)\}$/.exec(base)?.[1];
      if (argument === undefined) {
        yield { at: from, says: `a base comes from bases.env, as \${NAME}; found ${base}` };
      } else if (declared.get(argument) !== null) {
        yield { at: from, says: `${argument} is declared by ARG before the first FROM, without a default` };
      } else if (!bases.some(({ name }) => name === argument)) {
        yield { at: from, says: `${argument} is not in bases.env` };
      }
    }
  },
  *'copy-source'(file) {
    for (const { stage, index, at } of all(file, 'COPY')) {
      const from = at.flags['from'];
      const sources = copied(at)
        .slice(0, -1)
        .map((source) => path.normalize(`/${source}`));
      if (from === undefined && sources.some((source) => /^\/[*/]*$/.test(source))) {
        yield { at, says: 'the whole context is copied: name what is needed' };
      }
      if (from !== undefined && !earlier(file, index).has(from)) {
        yield { at, says: `--from takes an earlier stage; found ${from} in stage ${stage.name ?? 'last'}` };
      }
    }
  },
  *'no-add'(file) {
    for (const { at } of all(file, 'ADD')) yield { at, says: 'ADD fetches and unpacks: use COPY' };
  },
  *user(file) {
    const last = runtime(file);
    const at = last.instructions.findLast(({ name }) => name === 'USER');
    if (at?.rest !== user) yield { at: at ?? last.from, says: `USER is ${user}; found ${at?.rest ?? 'none'}` };
  },
  *healthcheck(file) {
    const at = one(runtime(file), 'HEALTHCHECK');
    if (at === null) yield { at: runtime(file).from, says: 'there is no HEALTHCHECK' };
    else if (execForm(at) === null) yield { at, says: 'HEALTHCHECK CMD is a list: there is no shell' };
  },
  *'stop-signal'(file) {
    const at = one(runtime(file), 'STOPSIGNAL');
    if (at?.rest !== 'SIGTERM') yield { at: at ?? runtime(file).from, says: 'STOPSIGNAL is SIGTERM' };
  },
  *'exec-form'(file) {
    for (const name of ['ENTRYPOINT', 'CMD']) {
      const at = one(runtime(file), name);
      const form = at === null ? null : execForm(at);
      if (form === null) yield { at: at ?? runtime(file).from, says: `${name} is a list, so that signals arrive` };
      else if (name === 'ENTRYPOINT' && !form[0]!.endsWith('/tini')) {
        yield { at: at!, says: 'process 1 is tini: Node hears no signal before it has set its listeners' };
      }
    }
  },
  *'no-run'(file) {
    for (const at of runtime(file).instructions.filter(({ name }) => name === 'RUN')) {
      yield { at, says: 'the last stage runs nothing: it has no shell' };
    }
  },
  *labels(file) {
    const last = runtime(file);
    const found = last.instructions.filter(({ name }) => name === 'LABEL').flatMap((at) => pairs(at));
    const missing = labels.filter((label) => !found.some(({ name }) => name === label));
    if (missing.length > 0) yield { at: last.from, says: `labels are missing: ${missing.join(', ')}` };
  },
  *'no-secrets'(file) {
    for (const at of [...file.globals, ...file.stages.flatMap(({ instructions }) => instructions)]) {
      const named = ['ARG', 'ENV', 'LABEL'].includes(at.name)
        ? pairs(at).find(({ name }) => secretName.test(name))
        : null;
      if (named) yield { at, says: `${named.name} would stand in the image for everybody to read` };
      if (secretValue.test(at.rest)) yield { at, says: 'this looks like a credential' };
      if (at.name === 'COPY' && copied(at).some((file) => /(^|\/)(\.env|\.aws|\.ssh|id_rsa)\b/.test(file))) {
        yield { at, says: 'files with credentials are not copied' };
      }
    }
  },
  *heredoc(file) {
    for (const { at } of [...all(file, 'RUN'), ...all(file, 'COPY')]) {
      if (/<<-?["']?\w/.test(at.rest))
        yield { at, says: 'the lines of a heredoc are seen by no rule: join them by &&' };
    }
  },
  *apt(file) {
    for (const { at } of all(file, 'RUN')) {
      const ran = commands(at).map((words) => ({ words, given: behind(words, apt) }));
      const installs = ran.flatMap(({ given }) => (given?.includes('install') ? [given] : []));
      for (const given of installs) {
        if (!given.includes('-y')) yield { at, says: 'apt-get install asks without -y' };
        if (!given.includes('--no-install-recommends'))
          yield { at, says: 'apt-get install takes --no-install-recommends' };
        const named = given.slice(given.indexOf('install') + 1);
        const loose = named.filter((word) => !word.startsWith('-') && !word.includes('='));
        if (loose.length > 0) yield { at, says: `a version is missing: ${loose.join(', ')}` };
      }
      const cleaned = ran.findLastIndex(({ words }) => /^rm -rf \/var\/lib\/apt\/lists/.test(words.join(' ')));
      if (installs.length > 0 && cleaned < ran.findLastIndex(({ given }) => given !== null)) {
        yield { at, says: 'the package lists stay in the layer' };
      }
    }
  },
  *npm(file) {
    for (const { at } of all(file, 'RUN')) {
      for (const words of commands(at)) {
        const given = behind(words, npm) ?? [];
        const ci = given.find((word) => !word.startsWith('-')) === 'ci';
        if (behind(words, npx) !== null || (!ci && given.some((word) => looseNpm.test(word)))) {
          yield { at, says: `npm ci keeps to the lock file; found ${words.join(' ')}` };
        }
        for (const option of ci ? ['--ignore-scripts', '--omit=dev', '--workspace'] : []) {
          if (!given.includes(option)) yield { at, says: `npm ci takes ${option}` };
        }
      }
    }
  },
  *reproducible(file) {
    for (const { at } of all(file, 'RUN')) {
      if (/\$\(date|`date|\bcurl\b|\bwget\b|git clone/.test(at.rest)) {
        yield { at, says: 'what a build takes from a clock or from the network is not the same tomorrow' };
      }
    }
  },
};

export const ruleNames: readonly string[] = [...Object.keys(rules), 'base-tag'];

/** All that is wrong with one Dockerfile by our own rules. */
export function applyRules(file: Dockerfile, bases: readonly Base[]): Finding[] {
  if (file.stages.length === 0) {
    return [{ file: file.path, line: 1, rule: 'pinned-base', message: 'there is no FROM' }];
  }
  return Object.entries(rules).flatMap(([rule, find]) =>
    [...find(file, bases)].map(({ at, says }) => ({ file: file.path, line: at.line, rule, message: says })),
  );
}

/** A tag that moves every day is no pin, whatever digest stands behind it. */
export function applyBaseRules(file: string, bases: readonly Base[]): Finding[] {
  return bases
    .filter(({ tag }) => tag === 'latest')
    .map((base) => ({
      file,
      line: base.line,
      rule: 'base-tag',
      message: `a tag names a version; found ${reference(base)}`,
    }));
}

/** The stage that becomes the image. */
function runtime(file: Dockerfile): Stage {
  return file.stages.at(-1)!;
}

function one(stage: Stage, name: string): Instruction | null {
  return stage.instructions.findLast((instruction) => instruction.name === name) ?? null;
}

/** The words behind a program's name; null where the command does not run it. */
function behind(words: readonly string[], program: RegExp): readonly string[] | null {
  const at = words.findIndex((word) => program.test(word));
  return at < 0 ? null : words.slice(at + 1);
}

function earlier(file: Dockerfile, index: number): ReadonlySet<string | null> {
  return new Set(file.stages.slice(0, index).map(({ name }) => name));
}

function all(file: Dockerfile, name: string) {
  return file.stages.flatMap((stage, index) =>
    stage.instructions.filter((at) => at.name === name).map((at) => ({ stage, index, at })),
  );
}
