import { type Base, reference } from './bases.ts';
import { type Dockerfile, execForm, type Instruction, pairs, type Stage } from './dockerfile.ts';

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
const secretName = /SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|API_KEY|PRIVATE_KEY|CREDENTIAL/i;
const secretValue = /\bAKIA[0-9A-Z]{16}\b|-----BEGIN|\/\/[^/\s:]+:[^@/\s]+@|\bhf_[A-Za-z0-9]{20,}/;

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
      if (from === undefined && /^\.?\/?\s/.test(at.rest)) {
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
      if (at.name === 'COPY' && /(^|[\s/])(\.env|\.aws|\.ssh|id_rsa)\b/.test(at.rest)) {
        yield { at, says: 'files with credentials are not copied' };
      }
    }
  },
  *apt(file) {
    for (const { at } of all(file, 'RUN')) {
      const install = /apt-get install([^&;|]*)/.exec(at.rest)?.[1];
      if (install === undefined) continue;
      const words = install.trim().split(/\s+/);
      if (!words.includes('-y')) yield { at, says: 'apt-get install asks without -y' };
      if (!words.includes('--no-install-recommends'))
        yield { at, says: 'apt-get install takes --no-install-recommends' };
      const loose = words.filter((word) => !word.startsWith('-') && !word.includes('='));
      if (loose.length > 0) yield { at, says: `a version is missing: ${loose.join(', ')}` };
      if (!at.rest.includes('rm -rf /var/lib/apt/lists')) yield { at, says: 'the package lists stay in the layer' };
    }
  },
  *npm(file) {
    for (const { at } of all(file, 'RUN')) {
      const command = /\bnpm (ci|install|i)\b([^&;|]*)/.exec(at.rest);
      if (command === null) continue;
      if (command[1] !== 'ci') yield { at, says: `npm ci keeps to the lock file; found npm ${command[1]}` };
      for (const option of ['--ignore-scripts', '--omit=dev', '--workspace']) {
        if (!command[2]!.includes(option)) yield { at, says: `npm ci takes ${option}` };
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
export function applyBaseRules(path: string, bases: readonly Base[]): Finding[] {
  return bases
    .filter(({ tag }) => tag === 'latest')
    .map((base) => ({
      file: path,
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

function earlier(file: Dockerfile, index: number): ReadonlySet<string | null> {
  return new Set(file.stages.slice(0, index).map(({ name }) => name));
}

function all(file: Dockerfile, name: string) {
  return file.stages.flatMap((stage, index) =>
    stage.instructions.filter((at) => at.name === name).map((at) => ({ stage, index, at })),
  );
}
