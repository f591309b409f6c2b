import type { SuperviseEvent } from './supervise.ts';

/** What `up` tells of itself, on the terminal or as a line of JSON. */
export type UpEvent =
  | SuperviseEvent
  | {
      readonly event: 'ready';
      readonly dir: string;
      readonly store: string;
      readonly redis: string;
      readonly model: string;
    }
  | { readonly event: 'listening'; readonly url: string; readonly keyFile: string }
  | { readonly event: 'log'; readonly name: string; readonly line: string }
  | { readonly event: 'notice'; readonly text: string }
  | { readonly event: 'stopping'; readonly reason: string }
  | { readonly event: 'down' };
