// Fails if the first screen needs more than 200 kB of compressed JavaScript (specification P5): the entry, Home, and all
// that they import.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const budget = 200_000;
const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));

const needed = new Set();
function need(key) {
  if (needed.has(key)) return;
  needed.add(key);
  for (const imported of manifest[key].imports ?? []) need(imported);
}
need("index.html");
need("src/screens/home.tsx");

let sum = 0;
for (const key of needed) {
  const file = manifest[key].file;
  const size = gzipSync(readFileSync(new URL(file, dist)), { level: 6 }).length;
  sum += size;
  console.log(`${String(size).padStart(8)} B  ${file}`);
}
console.log(`${String(sum).padStart(8)} B  JavaScript of the first screen, compressed; the budget is ${budget} B`);
if (sum > budget) process.exit(1);
