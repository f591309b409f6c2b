import { counterOf, histogramOf } from '../instruments.ts';
import { metric } from '../metric-table.ts';
import { http } from '../names.ts';
import { jobAttributes } from './worker.ts';

/** One request of the HTTP API. `route`: its pattern; null where there is none. `status`: null where no answer was sent. */
export function recordHttpRequest(
  seconds: number,
  { method, route, status }: { readonly method: string; readonly route: string | null; readonly status: number | null },
): void {
  histogramOf(metric.httpSeconds).record(seconds, {
    [http.method]: method,
    ...(route !== null && { [http.route]: route }),
    ...(status !== null && { [http.status]: status }),
  });
}

/** A job that was made; one that was there already does not count. */
export function countSubmitted(job: { readonly model: string; readonly task: string }): void {
  counterOf(metric.jobsSubmitted).add(1, jobAttributes(job));
}
