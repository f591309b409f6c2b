const MiB = 1024 * 1024;

/** What an extraction may take; a file that asks for more is refused with the limit and what was found. */
export const extractLimits = {
  /** Bytes of the file itself. */
  fileBytes: 256 * MiB,
  /** Bytes of the text that comes out. */
  textBytes: 1024 * MiB,
  /** Pages of a PDF, chapters of a book. */
  pages: 50_000,
  /** Entries of an archive, and characters and folders of their names. */
  entries: 20_000,
  nameChars: 512,
  nameDepth: 32,
  /** Bytes of one entry, and of all that are read, inflated. */
  entryBytes: 64 * MiB,
  inflatedBytes: 512 * MiB,
  /** Inflated bytes for each compressed one, where an entry has more than `freeBytes`. */
  ratio: 200,
  freeBytes: 4 * MiB,
  /** Of the process that reads the file: V8's heap, and all that is resident. */
  heapMiB: 1024,
  residentBytes: 2048 * MiB,
  /** Longest time without a page or a chapter, and of the whole. */
  silenceMs: 60_000,
  totalMs: 1_800_000,
} as const;
