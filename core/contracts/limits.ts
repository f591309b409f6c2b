/** Hard bounds on what crosses a process boundary. Each is named in the error that enforces it. */
export const limits = {
  /** Bytes of `spec.json`; the document itself never travels in a spec. */
  specBytes: 256 * 1024,
  /** Bytes of an inline document or a prompt, as UTF-8. */
  inlineBytes: 64 * 1024,
  /** Token ids of a document that is given as such. */
  inlineTokens: 32_768,
  /** Texts that one job reads joined, and bytes of what stands between them, as UTF-8. */
  joinedParts: 256,
  separatorBytes: 4096,
  /** Bytes of `head.json`. */
  headBytes: 256 * 1024,
  /** Bytes of a tokenizer cursor inside a checkpoint: pending bytes and pre-tokenizer state. */
  cursorBytes: 16 * 1024,
  /** Bytes of a checkpoint's safetensors header. */
  checkpointHeaderBytes: 1024 * 1024,
  /** Bytes of a whole checkpoint (FalconMamba-7B: about 36 MiB). */
  checkpointBytes: 1024 * 1024 * 1024,
  /** Bytes of one output segment, decompressed. */
  segmentBytes: 256 * 1024 * 1024,
  /** Output tokens of one `generate` job. */
  maxNewTokens: 1_000_000,
  /** Output tokens of one answer of an `ask` job: an answer is one record, held whole. */
  answerTokens: 16_384,
  /** Questions that travel in a spec; more lie in the store. */
  inlineQuestions: 256,
  /** Characters of the caller's own name for a question. */
  questionIdChars: 256,
  /** Bytes of one line of stored questions. */
  questionLineBytes: 512 * 1024,
  /** Stop strings of one job, and characters of each. */
  stopStrings: 16,
  stopStringChars: 256,
  /** Tokens of one job with a logit bias. */
  logitBiases: 300,
  /** Most likely tokens told of one position. */
  topLogprobs: 20,
  /** Bytes of one queue message: a pointer, never a payload. */
  queueMessageBytes: 8 * 1024,
  /** Attempts in a row that end without advancing `head.seq` before a job is quarantined. */
  stuckAttempts: 3,
  /** Unusable checkpoints in a row, none beyond the furthest of them, before a job is quarantined. */
  fallbacks: 4,
  /** Ends of earlier generations that a head remembers. */
  pastFailures: 8,
  /** Marks of a job's time line. */
  timelineMarks: 96,
  /** Bytes of one uploaded file. */
  fileBytes: 8 * 1024 ** 3,
  /** Lines of one batch, bytes of each, and characters of the caller's name for it. */
  batchLines: 2_000_000,
  batchLineBytes: 4 * 1024 * 1024,
  batchCustomIdChars: 512,
  /** Complaints about the lines of a batch that are kept. */
  batchLineErrors: 100,
  /** Lines behind the first one that is not recorded that a batch may be ahead. */
  batchAhead: 4096,
  /** Jobs that one request of the OpenAI API makes: prompts times choices. */
  choices: 128,
  /** Prompts of one completions request. */
  prompts: 128,
  /** Messages of a chat. */
  chatMessages: 1024,
  /** Entries of one tenant's prefix cache: a newer one takes the place of the oldest. */
  prefixEntries: 256,
  /** Bytes of what the messages of a chat say, as UTF-8. */
  chatBytes: 192 * 1024,
  /** Bytes of a pin. */
  pinBytes: 8 * 1024,
} as const;
