import { S3Error } from './errors.ts';
import { type Exchange, emptyReply, type Reply, xmlReply } from './exchange.ts';
import { listObjectsV2 } from './listing.ts';
import {
  abortMultipartUpload,
  completeMultipartUpload,
  createMultipartUpload,
  listMultipartUploads,
  listParts,
  uploadPart,
} from './multipart.ts';
import { copyObject, deleteObject, deleteObjects, putObject, readObject } from './object-operations.ts';
import { xmlDocument } from './xml.ts';

export const operations = {
  ListBuckets: async ({ storage }: Exchange): Promise<Reply> => {
    const buckets = storage.bucketNames().map((Name) => ({ Name }));
    return xmlReply(200, xmlDocument('ListAllMyBucketsResult', { Buckets: { Bucket: buckets } }));
  },
  CreateBucket: async (exchange: Exchange): Promise<Reply> => {
    await exchange.receiveText();
    if (exchange.storage.createBucket(exchange.bucket) === 'existing') {
      throw new S3Error(409, 'BucketAlreadyOwnedByYou', `You already own the bucket ${exchange.bucket}`);
    }
    return emptyReply(200, { location: `/${exchange.bucket}` });
  },
  HeadBucket: async ({ storage, bucket }: Exchange): Promise<Reply> => {
    storage.bucket(bucket);
    return emptyReply(200);
  },
  ListObjectsV2: listObjectsV2,
  ListMultipartUploads: listMultipartUploads,
  DeleteObjects: deleteObjects,
  PutObject: putObject,
  CopyObject: copyObject,
  GetObject: (exchange: Exchange) => readObject(exchange, 'GET'),
  HeadObject: (exchange: Exchange) => readObject(exchange, 'HEAD'),
  DeleteObject: deleteObject,
  CreateMultipartUpload: createMultipartUpload,
  UploadPart: uploadPart,
  ListParts: listParts,
  CompleteMultipartUpload: completeMultipartUpload,
  AbortMultipartUpload: abortMultipartUpload,
} as const;

export type Operation = keyof typeof operations;

export interface Target {
  readonly method: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  /** Whether `x-amz-copy-source` is there. */
  readonly copies: boolean;
}

/** Null for what this server does not know (501 NotImplemented). */
export function route({ method, bucket, key, query, copies }: Target): Operation | null {
  const upload = query.has('uploadId');
  if (bucket === '') return method === 'GET' ? 'ListBuckets' : null;
  if (key === '') {
    if (method === 'GET' && query.get('list-type') === '2') return 'ListObjectsV2';
    if (method === 'GET' && query.has('uploads')) return 'ListMultipartUploads';
    if (method === 'POST' && query.has('delete')) return 'DeleteObjects';
    if (method === 'HEAD') return 'HeadBucket';
    return method === 'PUT' && query.size === 0 ? 'CreateBucket' : null;
  }
  if (method === 'POST' && query.has('uploads')) return 'CreateMultipartUpload';
  if (method === 'POST' && upload) return 'CompleteMultipartUpload';
  if (method === 'PUT' && upload) return copies ? null : 'UploadPart';
  if (method === 'GET' && upload) return 'ListParts';
  if (method === 'DELETE' && upload) return 'AbortMultipartUpload';
  if (['acl', 'tagging', 'attributes', 'retention', 'legal-hold'].some((sub) => query.has(sub))) return null;
  if (method === 'PUT') return copies ? 'CopyObject' : 'PutObject';
  if (method === 'GET') return 'GetObject';
  if (method === 'HEAD') return 'HeadObject';
  return method === 'DELETE' ? 'DeleteObject' : null;
}
