export type {
  ChatMessage,
  Document,
  StreamingDecoder,
  TextCursor,
  Tokenizer,
  TokenStream,
} from './ports.ts';
export { defaultInflateRatio, type OpenDocumentOptions, openDocument } from './source/open-document.ts';
export { checkTokens, openTokens } from './token-list.ts';
export { loadTokenizer, type TextTokenizer } from './tokenizer.ts';
