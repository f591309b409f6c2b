const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Text for an element's body. Control characters become numeric references, as S3 writes them. */
export function escapeXml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keys may hold control characters.
  return text.replace(/[&<>"\x00-\x1f]/g, (c) => entities[c] ?? `&#x${c.charCodeAt(0).toString(16)};`);
}

export type XmlNode = string | number | boolean | XmlChildren | readonly (XmlChildren | string)[];
export interface XmlChildren {
  readonly [name: string]: XmlNode | undefined;
}

/** `{ A: [{ B: 1 }, { B: 2 }] }` is `<A><B>1</B></A><A><B>2</B></A>`; undefined children are left out. */
export function xmlDocument(root: string, children: XmlChildren): Buffer {
  const body = `<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${render(children)}</${root}>`;
  return Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${body}`);
}

function render(children: XmlChildren): string {
  return Object.entries(children)
    .map(([name, node]) => {
      if (node === undefined) return '';
      const items = Array.isArray(node) ? (node as readonly (XmlChildren | string)[]) : [node as string | XmlChildren];
      return items
        .map((item) => `<${name}>${typeof item === 'object' ? render(item) : escapeXml(String(item))}</${name}>`)
        .join('');
    })
    .join('');
}

/** The bodies of every `<name>` element, in order; enough for the flat documents that S3 requests carry. */
export function xmlElements(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>([\\s\\S]*?)</${name}>`, 'g'))].map((m) => m[1]!);
}

/** The text of the first `<name>`, unescaped; null where there is none. */
export function xmlText(xml: string, name: string): string | null {
  const [first] = xmlElements(xml, name);
  if (first === undefined) return null;
  return first.replace(/&(?:#x([0-9a-fA-F]+)|#(\d+)|(amp|lt|gt|quot|apos));/g, (_, hex, dec, named) => {
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (dec !== undefined) return String.fromCodePoint(Number(dec));
    return { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[named as 'amp']!;
  });
}
