/** What an extractor gives out: its pieces in reading order, and how far it is behind each. */
export interface Piece {
  readonly text: string;
  readonly done: number;
  readonly total: number;
}

/** What the pieces are. */
export type Unit = 'page' | 'chapter' | 'document';
