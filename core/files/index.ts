export { FileId, FileName, FilePurpose, FileRecord, fileContentKey } from './file.ts';
export { derivedFileId, newFileId, timeId } from './file-id.ts';
export {
  createFiles,
  type FileContent,
  type FileListing,
  type FilePage,
  type FilePut,
  type Files,
  type FilesOptions,
} from './files.ts';
export { type FileSweepOptions, sweepFiles } from './sweep.ts';
