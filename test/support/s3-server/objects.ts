import { randomUUID } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  read,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ChecksumAlgorithm } from './checksums.ts';
import { S3Error } from './errors.ts';

const readAt = promisify(read);
const readBytes = 256 * 1024;

/** One body file. An object of a multipart upload has one for each part. */
export interface Segment {
  readonly file: string;
  readonly bytes: number;
}

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Base64; a composite one ends in `-<parts>`. */
  readonly value: string;
}

export interface StoredObject {
  readonly segments: readonly Segment[];
  readonly bytes: number;
  /** Quoted, as in the header. */
  readonly etag: string;
  readonly modifiedAt: number;
  /** Content-Type, x-amz-meta-… and the like, to be given back as they came. */
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum: Checksum | null;
}

export interface Part {
  readonly segment: Segment;
  readonly etag: string;
  readonly modifiedAt: number;
  readonly checksum: Checksum | null;
}

export interface Upload {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly startedAt: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly fullObject: boolean } | null;
  readonly parts: Map<number, Part>;
}

type JournalEntry =
  | { readonly op: 'bucket'; readonly bucket: string }
  | { readonly op: 'put'; readonly bucket: string; readonly key: string; readonly object: StoredObject }
  | { readonly op: 'delete'; readonly bucket: string; readonly key: string }
  | { readonly op: 'upload'; readonly upload: Omit<Upload, 'parts'> }
  | { readonly op: 'part'; readonly id: string; readonly number: number; readonly part: Part }
  | { readonly op: 'drop'; readonly id: string };

/**
 * Bodies are files under `<dir>/bodies`; the index lives in memory and, entry by entry, in `<dir>/journal.jsonl`,
 * which a start replays. Every change of the index is synchronous, so a condition and its write are one step.
 */
export class ObjectStorage {
  readonly uploads = new Map<string, Upload>();
  private readonly buckets = new Map<string, Map<string, StoredObject>>();
  private readonly bodies: string;
  private readonly journal: number;

  constructor(dir: string) {
    this.bodies = join(dir, 'bodies');
    mkdirSync(this.bodies, { recursive: true });
    const path = join(dir, 'journal.jsonl');
    if (existsSync(path)) this.replay(readFileSync(path, 'utf8'));
    this.sweep();
    writeFileSync(`${path}.new`, [...this.entries()].map((entry) => `${JSON.stringify(entry)}\n`).join(''));
    renameSync(`${path}.new`, path);
    this.journal = openSync(path, 'a');
  }

  createBucket(bucket: string): 'created' | 'existing' {
    if (this.buckets.has(bucket)) return 'existing';
    this.record({ op: 'bucket', bucket });
    return 'created';
  }

  bucketNames(): readonly string[] {
    return [...this.buckets.keys()].sort();
  }

  bucket(bucket: string): ReadonlyMap<string, StoredObject> {
    const objects = this.buckets.get(bucket);
    if (objects === undefined) throw new S3Error(404, 'NoSuchBucket', `The specified bucket does not exist: ${bucket}`);
    return objects;
  }

  /** Replaces the object under the key, after `condition` has seen what is there and not thrown. */
  put(bucket: string, key: string, object: StoredObject, condition: (current: StoredObject | undefined) => void): void {
    const current = this.bucket(bucket).get(key);
    condition(current);
    this.record({ op: 'put', bucket, key, object });
    if (current !== undefined) this.discard(...current.segments);
  }

  delete(bucket: string, key: string, condition: (current: StoredObject | undefined) => void): void {
    const current = this.bucket(bucket).get(key);
    condition(current);
    if (current === undefined) return;
    this.record({ op: 'delete', bucket, key });
    this.discard(...current.segments);
  }

  startUpload(upload: Omit<Upload, 'id' | 'parts'>): Upload {
    const id = randomUUID();
    this.record({ op: 'upload', upload: { ...upload, id } });
    return this.uploads.get(id)!;
  }

  putPart(id: string, number: number, part: Part): void {
    const old = this.uploads.get(id)?.parts.get(number);
    this.record({ op: 'part', id, number, part });
    if (old !== undefined) this.discard(old.segment);
  }

  /** Forgets the upload; `kept` are the segments that now belong to an object. */
  dropUpload(upload: Upload, kept: readonly Segment[]): void {
    this.record({ op: 'drop', id: upload.id });
    const unused = [...upload.parts.values()].map((part) => part.segment).filter((segment) => !kept.includes(segment));
    this.discard(...unused);
  }

  newFile(): { readonly file: string; readonly path: string } {
    const file = randomUUID();
    return { file, path: join(this.bodies, file) };
  }

  /** The same bytes under a name of its own, so that deleting one object leaves its copy. */
  link(segment: Segment): Segment {
    const { file, path } = this.newFile();
    linkSync(join(this.bodies, segment.file), path);
    return { file, bytes: segment.bytes };
  }

  /** For small objects. */
  readWhole(segment: Segment): Buffer {
    return readFileSync(join(this.bodies, segment.file));
  }

  discard(...segments: readonly Segment[]): void {
    for (const segment of segments) rmSync(join(this.bodies, segment.file), { force: true });
  }

  /** Opens the files at once: the version found stays readable while others replace or delete it. */
  open(segments: readonly Segment[], from: number, end: number): BodyReader {
    const spans: Span[] = [];
    let start = 0;
    for (const segment of segments) {
      const low = Math.max(from - start, 0);
      const high = Math.min(end - start, segment.bytes);
      if (low < high) spans.push({ fd: openSync(join(this.bodies, segment.file), 'r'), low, high });
      start += segment.bytes;
    }
    return new BodyReader(spans, end - from);
  }

  close(): void {
    closeSync(this.journal);
  }

  private record(entry: JournalEntry): void {
    appendFileSync(this.journal, `${JSON.stringify(entry)}\n`);
    this.apply(entry);
  }

  private apply(entry: JournalEntry): void {
    switch (entry.op) {
      case 'bucket':
        this.buckets.set(entry.bucket, new Map());
        break;
      case 'put':
        this.buckets.get(entry.bucket)!.set(entry.key, entry.object);
        break;
      case 'delete':
        this.buckets.get(entry.bucket)!.delete(entry.key);
        break;
      case 'upload':
        this.uploads.set(entry.upload.id, { ...entry.upload, parts: new Map() });
        break;
      case 'part':
        this.uploads.get(entry.id)!.parts.set(entry.number, entry.part);
        break;
      case 'drop':
        this.uploads.delete(entry.id);
        break;
    }
  }

  /** A last line without its break is a write that a kill cut short: it was never answered. */
  private replay(journal: string): void {
    for (const line of journal.split('\n').slice(0, -1)) this.apply(JSON.parse(line) as JournalEntry);
  }

  private *entries(): Iterable<JournalEntry> {
    for (const [bucket, objects] of this.buckets) {
      yield { op: 'bucket', bucket };
      for (const [key, object] of objects) yield { op: 'put', bucket, key, object };
    }
    for (const { parts, ...upload } of this.uploads.values()) {
      yield { op: 'upload', upload };
      for (const [number, part] of parts) yield { op: 'part', id: upload.id, number, part };
    }
  }

  private sweep(): void {
    const known = new Set<string>();
    for (const entry of this.entries()) {
      if (entry.op === 'put') for (const segment of entry.object.segments) known.add(segment.file);
      if (entry.op === 'part') known.add(entry.part.segment.file);
    }
    for (const file of readdirSync(this.bodies)) if (!known.has(file)) rmSync(join(this.bodies, file));
  }
}

interface Span {
  readonly fd: number;
  readonly low: number;
  readonly high: number;
}

/** An open body. `close` is due exactly where `chunks` is not run to its end. */
export class BodyReader {
  readonly bytes: number;
  private readonly spans: Span[];

  constructor(spans: Span[], bytes: number) {
    this.spans = spans;
    this.bytes = bytes;
  }

  async *chunks(): AsyncGenerator<Buffer> {
    try {
      for (const { fd, low, high } of this.spans) {
        for (let at = low; at < high; ) {
          const wanted = Math.min(readBytes, high - at);
          const { bytesRead, buffer } = await readAt(fd, Buffer.allocUnsafe(wanted), 0, wanted, at);
          if (bytesRead === 0) throw new Error(`body file ends at byte ${at} of ${high}`);
          at += bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
      }
    } finally {
      this.close();
    }
  }

  close(): void {
    for (const { fd } of this.spans.splice(0)) closeSync(fd);
  }
}
