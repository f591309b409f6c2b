/** Terraform's expressions, as far as terraform/ uses them: everything but heredocs and template directives. */
export type Expression =
  | { readonly kind: 'literal'; readonly value: null | boolean | number | string }
  | { readonly kind: 'template'; readonly parts: readonly Expression[] }
  | { readonly kind: 'name'; readonly name: string }
  /** `of.key` (dotted) or `of[key]`. */
  | { readonly kind: 'member'; readonly of: Expression; readonly key: Expression; readonly dotted: boolean }
  /** `of[*]`, and what is read of each element. */
  | { readonly kind: 'splat'; readonly of: Expression; readonly keys: readonly Expression[] }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | { readonly kind: 'unary'; readonly operator: string; readonly of: Expression }
  | { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'choice'; readonly test: Expression; readonly yes: Expression; readonly no: Expression }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'object'; readonly entries: readonly (readonly [Expression, Expression])[] }
  | {
      readonly kind: 'for';
      readonly key: string | null;
      readonly value: string;
      readonly of: Expression;
      /** Set where an object is made. */
      readonly resultKey: Expression | null;
      readonly result: Expression;
      readonly test: Expression | null;
    };

type Token =
  | { readonly kind: 'number' | 'word' | 'sign' | 'end'; readonly text: string }
  | { readonly kind: 'string'; readonly parts: readonly Expression[] };

const precedence = [['||'], ['&&'], ['==', '!='], ['<', '>', '<=', '>='], ['+', '-'], ['*', '/', '%']];

/** A string as hcl2json gives it: text, with `${…}` around expressions. */
export function parseTemplate(text: string): Expression {
  const parts = templateParts(text, false);
  const [first] = parts;
  if (first === undefined) return { kind: 'literal', value: '' };
  // Around a single expression the result keeps its type.
  return parts.length === 1 ? first : { kind: 'template', parts };
}

/** @throws Error saying what was expected where */
export function parseExpression(text: string): Expression {
  return new Parser(tokensOf(text), text).whole();
}

function templateParts(text: string, escaped: boolean): Expression[] {
  const parts: Expression[] = [];
  let plain = '';
  const flush = () => {
    if (plain !== '') parts.push({ kind: 'literal', value: plain });
    plain = '';
  };
  for (let at = 0; at < text.length; ) {
    if (text.startsWith('$${', at)) {
      plain += '${';
      at += 3;
    } else if (text.startsWith('${', at)) {
      flush();
      const end = closing(text, at + 2);
      parts.push(parseExpression(text.slice(at + 2, end)));
      at = end + 1;
    } else if (escaped && text[at] === '\\') {
      const of: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '"': '"', '\\': '\\' };
      plain += of[text[at + 1]!] ?? text[at + 1];
      at += 2;
    } else plain += text[at++];
  }
  flush();
  return parts;
}

/** Where the `}` stands that closes a `${`; strings and braces inside are passed over. */
function closing(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '"') at = endOfString(text, at);
    else if (text[at] === '{') depth += 1;
    else if (text[at] === '}') {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  throw new Error(`no } closes the expression that begins with ${JSON.stringify(text.slice(from, from + 40))}`);
}

/** Where the `"` stands that ends the string that begins at `from`. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at += 1;
    else if (text.startsWith('${', at) && text[at - 1] !== '$') at = closing(text, at + 2);
    else if (text[at] === '"') return at;
  }
  throw new Error(`no " ends the string that begins with ${JSON.stringify(text.slice(from, from + 40))}`);
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  const plain =
    /\s+|#[^\n]*|\/\/[^\n]*|([0-9]+(?:\.[0-9]+)?)|([A-Za-z_][\w-]*)|(\.\.\.|=>|==|!=|<=|>=|&&|\|\||[-+*/%!<>=?:.,()[\]{}])/y;
  for (let at = 0; at < text.length; ) {
    if (text[at] === '"') {
      const end = endOfString(text, at);
      tokens.push({ kind: 'string', parts: templateParts(text.slice(at + 1, end), true) });
      at = end + 1;
      continue;
    }
    plain.lastIndex = at;
    const found = plain.exec(text);
    if (found === null) throw new Error(`${JSON.stringify(text.slice(at, at + 20))} is no part of an expression`);
    const [, number, word, sign] = found;
    if (number !== undefined) tokens.push({ kind: 'number', text: number });
    else if (word !== undefined) tokens.push({ kind: 'word', text: word });
    else if (sign !== undefined) tokens.push({ kind: 'sign', text: sign });
    at = plain.lastIndex;
  }
  tokens.push({ kind: 'end', text: 'the end' });
  return tokens;
}

class Parser {
  private readonly tokens: readonly Token[];
  private readonly text: string;
  private at = 0;

  constructor(tokens: readonly Token[], text: string) {
    this.tokens = tokens;
    this.text = text;
  }

  whole(): Expression {
    const found = this.expression();
    if (this.tokens[this.at]!.kind !== 'end') throw this.wrong('the end');
    return found;
  }

  private expression(): Expression {
    const test = this.binary(0);
    if (!this.take('?')) return test;
    const yes = this.expression();
    this.need(':');
    return { kind: 'choice', test, yes, no: this.expression() };
  }

  private binary(level: number): Expression {
    const operators = precedence[level];
    if (operators === undefined) return this.unary();
    let left = this.binary(level + 1);
    for (;;) {
      const operator = operators.find((one) => this.take(one));
      if (operator === undefined) return left;
      left = { kind: 'binary', operator, left, right: this.binary(level + 1) };
    }
  }

  private unary(): Expression {
    const operator = ['!', '-'].find((one) => this.take(one));
    return operator === undefined ? this.postfix() : { kind: 'unary', operator, of: this.unary() };
  }

  private postfix(): Expression {
    let found = this.primary();
    for (;;) {
      if (this.take('.')) {
        found = { kind: 'member', of: found, key: { kind: 'literal', value: this.word() }, dotted: true };
      } else if (this.take('[')) {
        if (this.take('*')) {
          this.need(']');
          const keys: Expression[] = [];
          while (this.take('.')) keys.push({ kind: 'literal', value: this.word() });
          found = { kind: 'splat', of: found, keys };
        } else {
          const key = this.expression();
          this.need(']');
          found = { kind: 'member', of: found, key, dotted: false };
        }
      } else return found;
    }
  }

  private primary(): Expression {
    const token = this.tokens[this.at++]!;
    if (token.kind === 'string') {
      const [only] = token.parts;
      if (only === undefined) return { kind: 'literal', value: '' };
      return token.parts.length === 1 && only.kind === 'literal' ? only : { kind: 'template', parts: token.parts };
    }
    if (token.kind === 'number') return { kind: 'literal', value: Number(token.text) };
    if (token.kind === 'word') {
      if (token.text === 'true' || token.text === 'false') return { kind: 'literal', value: token.text === 'true' };
      if (token.text === 'null') return { kind: 'literal', value: null };
      if (!this.take('(')) return { kind: 'name', name: token.text };
      return { kind: 'call', name: token.text, args: this.items(')') };
    }
    if (token.text === '(') {
      const inner = this.expression();
      this.need(')');
      return inner;
    }
    if (token.text === '[') return this.isWord('for') ? this.loop(']') : { kind: 'list', items: this.items(']') };
    if (token.text === '{') return this.isWord('for') ? this.loop('}') : this.object();
    this.at -= 1;
    throw this.wrong('an expression');
  }

  private items(end: string): Expression[] {
    const items: Expression[] = [];
    while (!this.take(end)) {
      items.push(this.expression());
      if (!this.take(',')) {
        this.need(end);
        return items;
      }
    }
    return items;
  }

  private object(): Expression {
    const entries: [Expression, Expression][] = [];
    while (!this.take('}')) {
      const bare = this.tokens[this.at]!.kind === 'word';
      const key: Expression = bare ? { kind: 'literal', value: this.word() } : this.primary();
      if (!this.take('=')) this.need(':');
      entries.push([key, this.expression()]);
      this.take(',');
    }
    return { kind: 'object', entries };
  }

  private loop(end: string): Expression {
    this.word();
    let key: string | null = null;
    let value = this.word();
    if (this.take(',')) [key, value] = [value, this.word()];
    if (this.word() !== 'in') throw this.wrong('in');
    const of = this.expression();
    this.need(':');
    let result = this.expression();
    let resultKey: Expression | null = null;
    if (this.take('=>')) [resultKey, result] = [result, this.expression()];
    let test: Expression | null = null;
    if (this.isWord('if')) {
      this.word();
      test = this.expression();
    }
    this.need(end);
    return { kind: 'for', key, value, of, resultKey, result, test };
  }

  private isWord(text: string): boolean {
    const token = this.tokens[this.at]!;
    return token.kind === 'word' && token.text === text;
  }

  private take(sign: string): boolean {
    const token = this.tokens[this.at]!;
    const found = token.kind === 'sign' && token.text === sign;
    if (found) this.at += 1;
    return found;
  }

  private need(sign: string): void {
    if (!this.take(sign)) throw this.wrong(sign);
  }

  private word(): string {
    const token = this.tokens[this.at]!;
    if (token.kind !== 'word') throw this.wrong('a name');
    this.at += 1;
    return token.text;
  }

  private wrong(expected: string): Error {
    const token = this.tokens[this.at]!;
    const found = token.kind === 'string' ? 'a string' : token.text;
    return new Error(`${expected} was expected, and ${found} found in ${JSON.stringify(this.text.slice(0, 80))}`);
  }
}
