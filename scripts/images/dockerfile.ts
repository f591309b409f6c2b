/** One instruction, its continuation lines joined by a blank. */
export interface Instruction {
  /** From 1. */
  readonly line: number;
  /** In capitals. */
  readonly name: string;
  /** `--from=x` as `from: 'x'`; a flag without a value is ''. */
  readonly flags: Readonly<Record<string, string>>;
  /** What stands behind name and flags. */
  readonly rest: string;
}

export interface Stage {
  readonly from: Instruction;
  /** What it is built on, as written. */
  readonly base: string;
  readonly name: string | null;
  readonly instructions: readonly Instruction[];
}

export interface Dockerfile {
  readonly path: string;
  readonly text: string;
  /** Arguments declared before the first stage. */
  readonly globals: readonly Instruction[];
  readonly stages: readonly Stage[];
}

/** Splits a Dockerfile into stages. Whether its instructions are valid is for the linters to say. */
export function parseDockerfile(path: string, text: string): Dockerfile {
  const globals: Instruction[] = [];
  const stages: { from: Instruction; base: string; name: string | null; instructions: Instruction[] }[] = [];
  for (const instruction of instructions(text)) {
    if (instruction.name === 'FROM') {
      const [base = '', , name] = instruction.rest.split(/\s+/);
      stages.push({ from: instruction, base, name: name ?? null, instructions: [] });
    } else if (stages.length === 0) globals.push(instruction);
    else stages.at(-1)!.instructions.push(instruction);
  }
  return { path, text, globals, stages };
}

/** The arguments of the form `["a", "b"]`, null where the instruction is a line for a shell. */
export function execForm(instruction: Instruction): readonly string[] | null {
  const text = instruction.name === 'HEALTHCHECK' ? instruction.rest.replace(/^CMD\s+/, '') : instruction.rest;
  if (!text.startsWith('[')) return null;
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) && parsed.every((part) => typeof part === 'string') ? parsed : null;
  } catch {
    return null;
  }
}

/** What COPY names, where to last, in whichever form. */
export function copied(instruction: Instruction): readonly string[] {
  return execForm(instruction) ?? instruction.rest.split(/\s+/);
}

/** The commands of a RUN, each as its words without quotes, those within a shell's `-c` or a substitution among them. */
export function commands(instruction: Instruction): readonly (readonly string[])[] {
  const text = execForm(instruction)?.join(' ') ?? instruction.rest;
  return text
    .split(/[;|&()`]+/)
    .map((command) => command.split(/[\s"']+/).filter((word) => word !== ''))
    .filter((words) => words.length > 0);
}

/** NAME=value pairs of ARG, ENV and LABEL; quotes are taken off, a name alone has the value null. */
export function pairs(instruction: Instruction): { readonly name: string; readonly value: string | null }[] {
  const found = instruction.rest.matchAll(/([^\s=]+)(?:=("(?:[^"\\]|\\.)*"|'[^']*'|\S*))?/g);
  return [...found].map(([, name, value]) => ({
    name: name!,
    value: value === undefined ? null : value.replace(/^(["'])(.*)\1$/, '$2'),
  }));
}

/** What the image sets in the environment of its processes. */
export function environmentOf({ stages }: Dockerfile): Readonly<Record<string, string>> {
  const set = (stages.at(-1)?.instructions ?? []).filter(({ name }) => name === 'ENV').flatMap((at) => pairs(at));
  return Object.fromEntries(set.map(({ name, value }) => [name, value ?? '']));
}

function* instructions(text: string): Generator<Instruction> {
  let began = 0;
  let parts: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    // Comments may stand between the lines of an instruction, and belong to none.
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const goesOn = trimmed.endsWith('\\');
    const part = (goesOn ? trimmed.slice(0, -1) : trimmed).trim();
    if (parts.length === 0) began = index + 1;
    parts.push(part);
    if (goesOn) continue;
    yield instruction(began, parts.join(' '));
    parts = [];
  }
  if (parts.length > 0) yield instruction(began, parts.join(' '));
}

function instruction(line: number, text: string): Instruction {
  const [, name = '', after = ''] = /^(\S+)\s*([\s\S]*)$/.exec(text) ?? [];
  const flags: Record<string, string> = {};
  let rest = after;
  for (;;) {
    const flag = /^--([a-z-]+)(?:=(\S*))?\s*/.exec(rest);
    if (flag === null) break;
    flags[flag[1]!] = flag[2] ?? '';
    rest = rest.slice(flag[0].length);
  }
  return { line, name: name.toUpperCase(), flags, rest };
}
