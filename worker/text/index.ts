export type {
  ChatMessage,
  Document,
  StreamingDecoder,
  TextCursor,
  Tokenizer,
  TokenStream,
} from './ports.ts';
export { loadTokenizer, type TextTokenizer } from './tokenizer.ts';
