import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { plotFormat, plotSvg, renderPlot } from "../../../src/plot/index.ts";

const POINTS = [
  { size: 1, rate: 3, name: "first <one>" },
  { size: 2, rate: 4, name: "first <one>" },
  { size: 1, rate: 5, name: "second" },
];
const OPTIONS: Plot.PlotOptions = {
  title: "Rates & sizes",
  subtitle: "what is below the title",
  caption: "what is below the plot",
  color: { legend: true },
  marks: [Plot.lineY(POINTS, { x: "size", y: "rate", stroke: "name" })],
};

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "warmkv-plot-"));
});
afterAll(() => rm(directory, { recursive: true }));

describe("plotSvg()", () => {
  it("holds title, subtitle, caption and legend, with their characters escaped", () => {
    const svg = plotSvg(OPTIONS);
    for (const text of ["Rates &amp; sizes", "what is below the title", "what is below the plot"]) {
      expect(svg).toContain(`>${text}</text>`);
    }
    expect(svg).toContain(">first &lt;one&gt;</text>");
    expect(svg).toContain(">second</text>");
  });

  it("puts a long legend into several rows", () => {
    const names = Array.from({ length: 12 }, (_, index) => `a rather long name of a line ${index}`);
    const marks = [Plot.dot(names, { x: names.map((_, index) => index), fill: names })];
    const rows = (svg: string): number =>
      new Set(
        svg.match(/<rect x="[\d.]+" y="[\d.]+" width="13"/g)!.map((rect) => rect.split('"')[3]),
      ).size;
    expect(rows(plotSvg({ color: { legend: true }, marks }))).toBeGreaterThan(2);
    expect(rows(plotSvg(OPTIONS))).toBe(1);
  });

  it("has no legend unless asked for", () => {
    expect(plotSvg({ ...OPTIONS, color: {} })).not.toContain(">second</text>");
  });
});

describe("renderPlot()", () => {
  it("writes SVG or PNG by the file's name and makes the directory", async () => {
    const svg = join(directory, "a", "plot.svg");
    const png = join(directory, "b", "plot.PNG");
    await renderPlot(OPTIONS, svg);
    await renderPlot(OPTIONS, png);
    expect(await readFile(svg, "utf8")).toBe(plotSvg(OPTIONS));
    const bytes = await readFile(png);
    expect(bytes.subarray(1, 4).toString()).toBe("PNG");
    const width = Number(/width="(\d+)"/.exec(plotSvg(OPTIONS))![1]);
    expect(bytes.readUInt32BE(16)).toBe(2 * width);
  });

  it("refuses other names and places that cannot be written", async () => {
    expect(plotFormat("x.svg")).toBe("svg");
    expect(() => plotFormat("x.jpeg")).toThrow(UsageError);
    await expect(renderPlot(OPTIONS, join(directory, "x"))).rejects.toThrow(
      "wanted a name that ends in .svg or .png",
    );
    await writeFile(join(directory, "file"), "");
    await expect(renderPlot(OPTIONS, join(directory, "file", "x.svg"))).rejects.toThrow(
      /Cannot write the plot to .*ENOTDIR|EEXIST/,
    );
  });
});
