/**
 * The objects of a model, below its own prefix. All but `current.json` are written once.
 *
 *   current.json                    which version the name means; replaced by compare-and-swap
 *   versions/{digest}/model.json    the manifest of a version, written when all of its files are there
 *   files/{sha256}                  the bytes of a file: versions that share a file share the object
 *   files/{sha256}.json             its parts' digests, written when the file is there: a push goes on behind it
 */
export const keys = {
  current: 'current.json',
  versions: 'versions/',
  manifest: (digest: string) => `versions/${digest}/model.json`,
  file: (sha256: string) => `files/${sha256}`,
  parts: (sha256: string) => `files/${sha256}.json`,
} as const;
