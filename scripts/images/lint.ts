import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ValidationSeverity, validate } from 'dockerfile-utils';
import dockerfilelint from 'dockerfilelint';
import { type Base, parseBases, reference } from './bases.ts';
import { parseDockerfile } from './dockerfile.ts';
import { imageNames } from './images.ts';
import { applyBaseRules, applyRules, type Finding } from './rules.ts';

/** All Dockerfiles below infra/images, the file of their bases, and the npm settings that go into a build. */
export async function lintImages(root: string, names: readonly string[] = imageNames): Promise<Finding[]> {
  const folder = path.join(root, 'infra', 'images');
  const bases = parseBases(await readFile(path.join(folder, 'bases.env'), 'utf8'));
  const findings: Finding[] = [...applyBaseRules('infra/images/bases.env', bases)];
  for (const name of names) {
    const file = `infra/images/${name}.Dockerfile`;
    findings.push(...lintDockerfile(file, await readFile(path.join(root, file), 'utf8'), bases));
  }
  const npmrc = await readFile(path.join(root, '.npmrc'), 'utf8');
  for (const [index, line] of npmrc.split('\n').entries()) {
    if (!/_auth|_password/i.test(line)) continue;
    findings.push({ file: '.npmrc', line: index + 1, rule: 'no-secrets', message: 'credentials of npm in the image' });
  }
  return findings;
}

/** One Dockerfile, by dockerfilelint, by dockerfile-utils, and by our own rules. */
export function lintDockerfile(file: string, text: string, bases: readonly Base[]): Finding[] {
  // The linters know no build argument without a default: they are shown what it stands for.
  const shown = bases.reduce((known, base) => known.replaceAll(`\${${base.name}}`, reference(base)), text);
  const parsed = parseDockerfile(file, text);
  const stages = new Set(parsed.stages.map(({ name }) => name));
  // It asks for the tag of an earlier stage, too.
  const onStage = new Set(parsed.stages.filter(({ base }) => stages.has(base)).map(({ from }) => from.line));
  const byLint = dockerfilelint
    .run('.', shown)
    .filter(({ line, rule }) => rule !== 'missing_tag' || !onStage.has(Number(line)))
    .map(({ line, rule, description }) => ({
      ...{ file, line: Number(line) },
      ...{ rule: `dockerfilelint/${rule}`, message: description },
    }));
  const byUtils = validate(shown, { deprecatedMaintainer: ValidationSeverity.ERROR }).map(({ range, message }) => ({
    ...{ file, line: range.start.line + 1 },
    ...{ rule: 'dockerfile-utils', message: typeof message === 'string' ? message : message.value },
  }));
  return [...byUtils, ...byLint, ...applyRules(parsed, bases)];
}
