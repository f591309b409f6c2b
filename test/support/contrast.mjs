// Runs in the browser: every text whose contrast with what is behind it is below 4.5 (3 where it is large), as one line.
(() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (front, back) => ({
    r: front.r * front.a + back.r * (1 - front.a),
    g: front.g * front.a + back.g * (1 - front.a),
    b: front.b * front.a + back.b * (1 - front.a),
    a: 1,
  });
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ({ r, g, b }) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    const layers = [];
    for (let at = element; at !== null; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    const page = matchMedia('(prefers-color-scheme: dark)').matches
      ? { r: 0, g: 0, b: 0, a: 1 }
      : { r: 255, g: 255, b: 255, a: 1 };
    return layers.reverse().reduce((back, front) => over(front, back), page);
  };
  const weak = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node !== null; node = texts.nextNode()) {
    const element = node.parentElement;
    if (node.data.trim() === '' || !element.checkVisibility({ opacityProperty: true })) continue;
    if (element.closest('title, script, noscript, .unseen, del')) continue;
    const style = getComputedStyle(element);
    const isSvg = element instanceof SVGElement;
    const front = parse(isSvg ? style.fill : style.color);
    const back = ground(isSvg ? element.ownerSVGElement.parentElement : element);
    const [high, low] = [luminance(over(front, back)), luminance(back)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5))
      weak.push(
        `${ratio.toFixed(2)} ${JSON.stringify(node.data.trim().slice(0, 40))} in ${element.tagName}.${element.getAttribute('class')}`,
      );
  }
  return weak;
})();
