import { mkdir, writeFile } from "node:fs/promises";
import { dirname, extname } from "node:path";
import * as Plot from "@observablehq/plot";
import { Resvg } from "@resvg/resvg-js";
import { parseHTML } from "linkedom";
import { messageOf, UsageError } from "../core/index.ts";

export type PlotFormat = "svg" | "png";

const FONT_FAMILY = "'DejaVu Sans', Helvetica, Arial, sans-serif";
const WIDTH = 900;
const HEIGHT = 500;
const PADDING = 24;
const LINE_HEIGHT = 22;
/** Pixels of a PNG for each of the SVG: sharp on dense screens and in print. */
const PNG_ZOOM = 2;

/**
 * Draws a plot into a file. Title, subtitle, caption and a legend for `color: { legend: true }` are
 * part of the picture; the background is white. The directory is made when missing.
 *
 * @param file ends in .svg or .png
 * @throws UsageError for another ending and for a path that cannot be written
 */
export async function renderPlot(options: Plot.PlotOptions, file: string): Promise<void> {
  const format = plotFormat(file);
  const svg = plotSvg(options);
  const content = format === "svg" ? svg : rasterize(svg);
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  } catch (error) {
    throw new UsageError(`Cannot write the plot to "${file}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/**
 * The format that a file's name asks for: to refuse a name before the work whose plot it is to
 * hold.
 *
 * @throws UsageError unless it ends in .svg or .png
 */
export function plotFormat(file: string): PlotFormat {
  const extension = extname(file).toLowerCase();
  if (extension === ".svg") return "svg";
  if (extension === ".png") return "png";
  throw new UsageError(
    `Cannot write the plot to "${file}": wanted a name that ends in .svg or .png`,
  );
}

/** The picture as one SVG document. */
export function plotSvg(options: Plot.PlotOptions): string {
  const { title, subtitle, caption, ...rest } = options;
  const width = options.width ?? WIDTH;
  const height = options.height ?? HEIGHT;
  const { document } = parseHTML("<html><body></body></html>");
  const plot = Plot.plot({
    marginLeft: 64,
    marginBottom: 48,
    marginTop: 36,
    grid: true,
    ...rest,
    // Plot's own legend is HTML, which an SVG file cannot hold.
    color: { ...rest.color, legend: false },
    width,
    height,
    style: { fontFamily: FONT_FAMILY, fontSize: "13px", background: "white", overflow: "visible" },
    document: document as unknown as NonNullable<Plot.PlotOptions["document"]>,
  });
  plot.setAttribute("x", String(PADDING));

  const parts: string[] = [];
  let y = PADDING;
  const addLine = (text: unknown, style: string): void => {
    if (typeof text !== "string" || text === "") return;
    y += LINE_HEIGHT;
    parts.push(`<text x="${PADDING}" y="${y - 6}" ${style}>${escapeXml(text)}</text>`);
  };
  addLine(title, `font-size="18" font-weight="bold"`);
  addLine(subtitle, `font-size="13" fill="#555"`);
  if (options.color?.legend === true) {
    const legend = legendSvg(plot.scale("color"), width, y + 8);
    parts.push(legend.svg);
    y = legend.bottom;
  }
  plot.setAttribute("y", String(y));
  parts.push(String(plot.outerHTML));
  y += height;
  addLine(caption, `font-size="12" fill="#555"`);

  const box = { width: width + 2 * PADDING, height: y + PADDING };
  const size = `width="${box.width}" height="${box.height}" viewBox="0 0 ${box.width} ${box.height}"`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="${FONT_FAMILY}">` +
    `<rect width="100%" height="100%" fill="white"/>${parts.join("")}</svg>\n`
  );
}

/** One swatch with its name for each category, in as many rows as they need. */
function legendSvg(
  scale: Plot.Scale | undefined,
  width: number,
  top: number,
): { svg: string; bottom: number } {
  const parts: string[] = [];
  let x = PADDING;
  let y = top;
  for (const category of scale?.domain ?? []) {
    const label = String(category);
    // About the width of a letter at this size; the renderer has no means to measure text.
    const itemWidth = 20 + label.length * 8.2 + 16;
    if (x + itemWidth > width && x > PADDING) {
      x = PADDING;
      y += LINE_HEIGHT;
    }
    parts.push(
      `<rect x="${x}" y="${y}" width="13" height="13" fill="${String(scale!.apply(category))}"/>`,
      `<text x="${x + 19}" y="${y + 11}" font-size="13">${escapeXml(label)}</text>`,
    );
    x += itemWidth;
  }
  return { svg: parts.join(""), bottom: parts.length === 0 ? top : y + LINE_HEIGHT };
}

function rasterize(svg: string): Buffer {
  return new Resvg(svg, {
    fitTo: { mode: "zoom", value: PNG_ZOOM },
    font: { loadSystemFonts: true, defaultFontFamily: "DejaVu Sans" },
  })
    .render()
    .asPng();
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
