/** A base image of infra/images/bases.env. */
export interface Base {
  /** From 1. */
  readonly line: number;
  /** The build argument. */
  readonly name: string;
  /** `registry/repository` */
  readonly repository: string;
  readonly tag: string;
  /** `sha256:…`; null where nobody has asked the registry yet. */
  readonly digest: string | null;
}

const entry = /^([A-Z_]+)=([a-z0-9.-]+(?::\d+)?\/[a-z0-9._/-]+):([A-Za-z0-9._-]+)(?:@(sha256:[0-9a-f]{64}))?$/;

/** @throws Error naming the line that is no NAME=registry/repository:tag or NAME=registry/repository:tag@sha256:… */
export function parseBases(text: string): Base[] {
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const found = entry.exec(line);
    if (found === null) {
      const form = 'NAME=registry/repository:tag, with @sha256:… behind it once resolved';
      throw new Error(`bases.env:${index + 1}: expected ${form}; found ${JSON.stringify(line)}`);
    }
    const [, name, repository, tag, digest = null] = found;
    return [{ line: index + 1, name: name!, repository: repository!, tag: tag!, digest }];
  });
}

/** As engines take it. */
export function reference({ repository, tag, digest }: Base): string {
  return `${repository}:${tag}${digest === null ? '' : `@${digest}`}`;
}

/** The file with one digest put in, everything else as it was. */
export function withDigest(text: string, base: Base, digest: string): string {
  const lines = text.split('\n');
  lines[base.line - 1] = `${base.name}=${reference({ ...base, digest })}`;
  return lines.join('\n');
}
