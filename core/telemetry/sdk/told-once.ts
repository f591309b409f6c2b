import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { TelemetryLog } from '../start.ts';

interface Exporter<T> {
  export(items: T, done: (result: ExportResult) => void): void;
}

/**
 * Tells the log when what is exported begins to be lost, and when it arrives again: two lines an outage, however long it
 * is. An exporter that throws has lost it too.
 */
export function tellOnce<T, E extends Exporter<T>>(exporter: E, what: string, url: string, log: TelemetryLog): E {
  let lost = false;
  const send = exporter.export.bind(exporter);
  exporter.export = (items, done) => {
    const settled = (result: ExportResult) => {
      const failed = result.code !== ExportResultCode.SUCCESS;
      if (failed && !lost) {
        log('warn', `${what} are lost: the collector does not take them; work goes on`, {
          collector: shown(url),
          reason: result.error?.message ?? 'no answer',
        });
      }
      if (!failed && lost) log('info', `${what} arrive again`, { collector: shown(url) });
      lost = failed;
      done(result);
    };
    try {
      send(items, settled);
    } catch (error) {
      settled({ code: ExportResultCode.FAILED, error: error instanceof Error ? error : new Error(String(error)) });
    }
  };
  return exporter;
}

/** An address may hold a password, or a token in its query. */
function shown(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
