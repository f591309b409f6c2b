import { S3Error } from './errors.ts';
import { type Exchange, type Reply, xmlReply } from './exchange.ts';
import { encodeRfc3986 } from './sigv4.ts';
import { xmlDocument } from './xml.ts';

/** Pages over contents and common prefixes together, in UTF-8 order. The token is the last of either that was given. */
export async function listObjectsV2({ storage, bucket, query }: Exchange): Promise<Reply> {
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const token = query.get('continuation-token');
  const after = token === undefined ? (query.get('start-after') ?? '') : decodeToken(token);
  const limit = Math.min(parseLimit(query.get('max-keys')), 1000);
  const objects = storage.bucket(bucket);
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort(compareUtf8);

  const page: { readonly name: string; readonly common: boolean }[] = [];
  let truncated = false;
  for (const key of keys) {
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    const name = cut < 0 ? key : key.slice(0, cut + delimiter.length);
    // A start-after inside a common prefix leaves that prefix out only where every key of it lies before.
    const before = cut < 0 || token !== undefined ? compareUtf8(name, after) <= 0 : compareUtf8(key, after) <= 0;
    if (before || page.at(-1)?.name === name) continue;
    if (page.length === limit) {
      truncated = limit > 0;
      break;
    }
    page.push({ name, common: cut >= 0 });
  }

  const encoding = query.get('encoding-type');
  const encode = (text: string) => (encoding === 'url' ? encodeRfc3986(text).replaceAll('%2F', '/') : text);
  const last = page.at(-1)?.name;
  return xmlReply(
    200,
    xmlDocument('ListBucketResult', {
      Name: bucket,
      Prefix: encode(prefix),
      Delimiter: delimiter === '' ? undefined : encode(delimiter),
      MaxKeys: limit,
      KeyCount: page.length,
      EncodingType: encoding,
      StartAfter: query.has('start-after') ? encode(query.get('start-after')!) : undefined,
      ContinuationToken: token,
      NextContinuationToken: truncated ? Buffer.from(last!).toString('base64url') : undefined,
      IsTruncated: truncated,
      Contents: page
        .filter((entry) => !entry.common)
        .map(({ name }) => {
          const object = objects.get(name)!;
          return {
            Key: encode(name),
            LastModified: new Date(object.modifiedAt).toISOString(),
            ETag: object.etag,
            Size: object.bytes,
            StorageClass: 'STANDARD',
          };
        }),
      CommonPrefixes: page.filter((entry) => entry.common).map(({ name }) => ({ Prefix: encode(name) })),
    }),
  );
}

function decodeToken(token: string): string {
  const text = Buffer.from(token, 'base64url').toString('utf8');
  if (Buffer.from(text).toString('base64url') !== token) {
    throw new S3Error(400, 'InvalidArgument', `The continuation token provided is incorrect: ${token}`);
  }
  return text;
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return 1000;
  if (!/^\d{1,9}$/.test(text)) throw new S3Error(400, 'InvalidArgument', `max-keys is no number: ${text}`);
  return Number(text);
}

/** UTF-8 order: as UTF-16 order, but with surrogates above every other unit. */
function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return lift(x) - lift(y);
  }
  return a.length - b.length;
}

const lift = (unit: number) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
