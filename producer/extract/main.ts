import { describeError, errorCode, LonghaulError } from '@longhaul/core/contracts';
import { write } from '../context.ts';
import { extractFile } from './extract-file.ts';
import { ExtractKind, type Report } from './report.ts';

/** The process that reads one file that nobody vouches for: `main.ts KIND PATH`, text to stdout, reports by IPC. */
const [asked = '', path = ''] = process.argv.slice(2);
const say = (report: Report) =>
  new Promise<void>((sent) => {
    if (process.send === undefined || !process.connected) return sent();
    process.send(report, () => sent());
  });

process.on('disconnect', () => process.exit(1));
// What libraries print is no text of the document.
console.log = console.warn = console.info = () => {};

try {
  const kind = asked === 'zip' ? asked : ExtractKind.parse(asked);
  const extracted = await extractFile(path, kind, {
    write: (text) => write(process.stdout, text),
    progress: ({ done, total }, unit) => void say({ kind: 'progress', done, total, unit }),
  });
  await new Promise<void>((ended) => process.stdout.end(ended));
  await say({ kind: 'done', extracted });
} catch (error) {
  const code = error instanceof LonghaulError ? errorCode(error) : 'source_unreadable';
  await say({ kind: 'failed', code, message: describeError(error).slice(0, 2000) });
}
process.exit(0);
