/**
 *   leave  the machine is being taken away: drain
 *   soon   it may be taken at any time: commit now, take nothing new, go on with what is in hand
 */
export type PreemptionAction = 'leave' | 'soon';

export interface PreemptionNotice {
  readonly action: PreemptionAction;
  /** In the source's own words, for the log. */
  readonly what: string;
  /** By the source's clock, which need not be ours: told to people, never waited for. Null where none was said. */
  readonly deadline: Date | null;
}

/** Something that may say that this machine is about to be taken away. */
export interface PreemptionSource {
  readonly name: string;
  /**
   * Gives notices as they come, each action at most once but for signals. Ends where the source has nothing to say any
   * more, or is not there at all. Never throws: what is broken is told in the log. `signal` ends it.
   */
  watch(signal: AbortSignal): AsyncIterable<PreemptionNotice>;
}
