// What tests/site/check_pages.py asks of a page that is open in the browser.

// The part of the page that the site's author wrote; other pages are looked at as a whole.
const content = () => document.querySelector("article") ?? document.body;

// The color scheme that the theme has applied; null for a page without a theme.
const theme = () => document.documentElement.dataset.theme ?? null;

// Links as full addresses, and all ids that links can name.
const links = () => ({
  links: [...document.querySelectorAll("a[href]")].map(link => link.href),
  anchors: [...document.querySelectorAll("[id]")].map(element => element.id),
});

const look = () => [...new Set([...sideways(), ...cutOff(), ...withoutAlternative(), ...faint()])];

// A short description of an element: its text or its source, and its tag.
const describe = element => {
  const text = (element.getAttribute("src")?.split("/").pop() ?? element.textContent).trim().replace(/\s+/g, " ");
  return `<${element.tagName.toLowerCase()}> "${text.slice(0, 50)}"`;
};

const isVisible = element => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

function* sideways() {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth + 1) yield `the page scrolls sideways, by ${scrollWidth - clientWidth} pixels`;
}

// Elements that end right of the column, or of an ancestor that hides what overflows, without a scrollbar in between.
// What is within such an element is not reported again.
function* cutOff() {
  const column = content();
  let outer = null;
  for (const element of column.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || !isVisible(element) || outer?.contains(element)) continue;
    for (let parent = element.parentElement; parent; parent = parent.parentElement) {
      const overflow = getComputedStyle(parent).overflowX;
      if (overflow === "auto" || overflow === "scroll") break;
      const edge = parent.getBoundingClientRect();
      if ((overflow !== "visible" || parent === column) && box.right > edge.right + 1.5 && edge.width > 2) {
        yield `cut off: ${describe(element)}`;
        outer = element;
        break;
      }
      if (parent === column) break;
    }
  }
}

function* withoutAlternative() {
  for (const image of content().querySelectorAll("img")) {
    if (!image.alt.trim() && isVisible(image)) yield `no alternative text: ${describe(image)}`;
  }
  for (const drawing of content().querySelectorAll("svg")) {
    const named = drawing.getAttribute("aria-label") || drawing.querySelector("title") || drawing.closest("[aria-hidden=true]");
    const within = drawing.closest("a, button, label, summary, [role=img][aria-label]");
    if (!named && !within && isVisible(drawing)) yield `no alternative text: ${describe(drawing)}`;
  }
}

// Colors are drawn on a canvas, which reads every notation, and read back as red, green, blue and opacity.
const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
const colors = new Map();
const read = color => {
  if (!colors.has(color)) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, opacity] = canvas.getImageData(0, 0, 1, 1).data;
    colors.set(color, [red, green, blue, opacity / 255]);
  }
  return colors.get(color);
};

const over = (upper, lower) => [0, 1, 2].map(i => upper[i] * upper[3] + lower[i] * (1 - upper[3]));

// The color behind an element; null where a picture is behind it.
const background = element => {
  const layers = [];
  for (let parent = element; parent; parent = parent.parentElement) {
    const style = getComputedStyle(parent);
    if (style.backgroundImage !== "none") return null;
    const color = read(style.backgroundColor);
    layers.push(color);
    if (color[3] === 1) break;
  }
  return layers.reduceRight((below, color) => over(color, below), theme() === "dark" ? [0, 0, 0] : [255, 255, 255]);
};

// Relative luminance, as WCAG defines it.
const luminance = color => {
  const [red, green, blue] = color.map(value => value / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

const contrast = (first, second) => {
  const [low, high] = [luminance(first), luminance(second)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};

function* faint() {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest("script, style, noscript, svg, :disabled, .visually-hidden")) continue;
    const style = getComputedStyle(element);
    const behind = background(element);
    const look = `${style.color} ${style.fontSize} ${style.fontWeight} ${behind}`;
    if (behind === null || seen.has(look) || !isVisible(element)) continue;
    seen.add(look);
    const ratio = contrast(over(read(style.color), behind), behind);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) yield `faint, contrast ${ratio.toFixed(1)}: ${describe(element)}`;
  }
}
