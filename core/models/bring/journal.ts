import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Which parts a directory that is being filled has, one line each. It is a hint, written without care: a part that is
 * listed is checked by its digest before it is believed, or with its file at the end where nobody tells digests of parts; one
 * that is not is brought again.
 */
export class Journal {
  static readonly fileName = '.parts';
  readonly #file: FileHandle;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(dir: string): Promise<{ readonly journal: Journal; readonly listed: ReadonlySet<string> }> {
    const path = Journal.path(dir);
    const text = await readFile(path, 'latin1').catch(() => '');
    const journal = new Journal(await open(path, 'a', 0o600));
    return { journal, listed: new Set(text.split('\n').filter((line) => line !== '')) };
  }

  add(line: string): void {
    this.#writing = this.#writing.then(() => this.#file.appendFile(`${line}\n`)).catch(() => {});
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  static path(dir: string): string {
    return join(dir, Journal.fileName);
  }
}

export function journalLine(part: { readonly file: { readonly name: string }; readonly index: number }): string {
  return `${part.file.name} ${part.index}`;
}
