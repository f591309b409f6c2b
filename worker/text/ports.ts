import type { SourcePin } from '@longhaul/core/contracts';

/** A pinned document: every read is of the version that was pinned, or fails with `source_changed`. */
export interface Document {
  readonly pin: SourcePin;
  /** Bytes after decompression; null where that is not known before reading (compressed, unsized). */
  readonly totalBytes: number | null;
  /** Decompressed bytes [from, end) in order. Plain sources seek; compressed ones inflate and skip. */
  read(from: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Tokens of a document in order, in memory that does not grow with it. */
export interface TokenStream {
  /** The next `count` tokens; fewer only at the end of the document; empty at and after the end. */
  read(count: number, signal: AbortSignal): Promise<Int32Array>;
  /** The token that `read` would give first, without taking it; null at the end. */
  peek(signal: AbortSignal): Promise<number | null>;
  /** Resumes exactly behind the tokens read so far. Opaque, at most `limits.cursorBytes` characters. */
  cursor(): TextCursor;
  close(): Promise<void>;
}

export interface TextCursor {
  /** Decompressed document bytes that lie wholly before the cursor. */
  readonly byteOffset: number;
  /** Serialized state: byte offset, pending bytes, pre-tokenizer state. Checked on the way in. */
  readonly text: string;
  /**
   * Documents that have their first `reach` bytes in common have all tokens before the cursor in common, and may go on from it.
   * Null where the document's end had a part in these tokens, and where it is not known.
   */
  readonly reach: number | null;
}

export interface Tokenizer {
  /** sha256 hex over the tokenizer's files. */
  readonly digest: string;
  readonly vocabSize: number;
  /** Whole text at once; for prompts. Adds nothing (no BOS). */
  encode(text: string): Promise<Int32Array>;
  /** Whole sequence at once. Invalid UTF-8 becomes U+FFFD. Special tokens are left out. */
  decode(tokens: Int32Array): string;
  /** Token by token; text is given out as soon as its characters are complete. Goes on where another one held `held`. */
  decoder(held?: string): StreamingDecoder;
  /** The text of one token alone: incomplete characters are U+FFFD, special tokens ''. */
  textOf(token: number): string;
  /** Whether the model has a chat template. */
  readonly hasChat: boolean;
  /** Bytes of text that a token stands for: 0 for special tokens and unknown ids. */
  byteLength(token: number): number;
  /** Renders chat messages with the model's own template: `tokenizer_unsupported` where it has none. */
  renderChat(messages: readonly ChatMessage[], options: ChatOptions): string;
}

export interface StreamingDecoder {
  /** What this token adds to the text; '' while a character is incomplete. */
  push(token: number): string;
  /** The rest; incomplete bytes become U+FFFD. */
  flush(): string;
  /** Bytes of the incomplete character at the end so far, as hex: '' to 3 of them. */
  readonly held: string;
}

export interface ChatOptions {
  /** End where the model's own turn begins. */
  readonly addGenerationPrompt: boolean;
  /** What a template that tells the date takes for now: a job's stays the same, however often it is resumed. */
  readonly at: Date;
}

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}
