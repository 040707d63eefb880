/**
 * Makes of what Vite has built what the function serves: compressed files, licences, the styles that the policy allows,
 * and the fields with which the API starts a recording.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import * as elements from "../src/player/elements.ts";

const ROOT = join(import.meta.dirname, "..");
const DIST = join(ROOT, "dist");
/** The most JavaScript that a first view may load, compressed. */
const MOST_FIRST_VIEW_BYTES = 60 * 1024;
const COMPRESSED_ALREADY = /\.(woff2|png)$/;

interface Package {
  version: string;
  license?: string;
  dependencies?: Record<string, string>;
}

function main(): void {
  writeFileSync(join(DIST, "licences.txt"), licences());
  for (const path of files(DIST)) if (!COMPRESSED_ALREADY.test(path)) compress(path);
  writeFileSync(join(DIST, "page.json"), `${JSON.stringify({ styles: styleHashes(), startFields: startFields() })}\n`);
  checkFirstView();
}

/** The entry stays as it is: the function writes the deployment's settings into it. */
function compress(path: string): void {
  if (path.endsWith("index.html")) return;
  const content = readFileSync(path);
  const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  writeFileSync(`${path}.br`, brotliCompressSync(content, { params: quality }));
  writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
  rmSync(path);
}

/** The style sheets inside the player's elements, as the content security policy names them. */
function styleHashes(): string[] {
  const found = new Set<string>();
  for (const element of Object.values(elements)) {
    const { getTemplateHTML } = element as { getTemplateHTML?: (attributes: object) => string };
    for (const [, style = ""] of (getTemplateHTML?.call(element, {}) ?? "").matchAll(/<style>([\s\S]*?)<\/style>/g)) {
      found.add(`sha256-${createHash("sha256").update(style).digest("base64")}`);
    }
  }
  return [...found].sort();
}

/** The fields that the API takes to start a recording. */
function startFields(): string[] {
  const { components } = JSON.parse(readFileSync(join(ROOT, "../docs/openapi.json"), "utf8")) as {
    components: { schemas: { StartRequest: { properties: Record<string, unknown> } } };
  };
  return Object.keys(components.schemas.StartRequest.properties).sort();
}

function checkFirstView(): void {
  const entry = readFileSync(join(DIST, "index.html"), "utf8");
  const scripts = [...entry.matchAll(/(?:src|href)="\/console\/([^"]+\.js)"/g)].map(([, name = ""]) => name);
  const bytes = scripts.reduce((sum, name) => sum + readFileSync(join(DIST, `${name}.br`)).length, 0);
  console.log(`first view: ${(bytes / 1024).toFixed(1)} KiB of JavaScript`);
  if (bytes > MOST_FIRST_VIEW_BYTES) throw new Error(`the first view loads ${bytes} bytes of JavaScript`);
}

function licences(): string {
  const { dependencies = {} } = packageOf(ROOT);
  const names = new Set<string>();
  const waiting = Object.keys(dependencies);
  for (let name = waiting.pop(); name; name = waiting.pop()) {
    if (names.has(name)) continue;
    names.add(name);
    waiting.push(...Object.keys(packageOf(folderOf(name)).dependencies ?? {}));
  }
  return [...names].sort().map(licence).join("\n\n");
}

function licence(name: string): string {
  const folder = folderOf(name);
  const { version, license } = packageOf(folder);
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : `Licence: ${license ?? "not stated"}`;
  return `${name} ${version} (${license ?? "see below"})\n${"-".repeat(72)}\n${text}\n`;
}

function packageOf(folder: string): Package {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Package;
}

function folderOf(name: string): string {
  const folder = join(ROOT, "node_modules", name);
  if (!existsSync(folder)) throw new Error(`${name} is not installed`);
  return folder;
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

main();
