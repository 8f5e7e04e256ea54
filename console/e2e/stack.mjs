// Starts the development stack (cmd/dev) for the browser tests, or uses one that runs already.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const startup = 120_000;

async function freePorts(n) {
  const servers = await Promise.all(
    Array.from({ length: n }, () => new Promise((resolve) => {
      const s = createServer().listen(0, "127.0.0.1", () => resolve(s));
    })),
  );
  const ports = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
  return ports;
}

/** devBinary is $GRAPNEL_DEV, or is built. */
function devBinary(dir) {
  if (process.env.GRAPNEL_DEV) {
    return process.env.GRAPNEL_DEV;
  }
  const path = join(dir, "dev");
  execFileSync("go", ["-C", join(root, "cmd/dev"), "build", "-o", path, "."], { stdio: "inherit" });
  return path;
}

/**
 * startStack returns {url, key, supports, stop}. With GRAPNEL_URL and GRAPNEL_KEY in the environment it starts nothing, and
 * the tests that need flags of their own are skipped.
 */
export async function startStack(flags = {}) {
  if (process.env.GRAPNEL_URL) {
    return { url: process.env.GRAPNEL_URL, key: process.env.GRAPNEL_KEY, supports: () => false, stop: async () => {} };
  }
  const dir = mkdtempSync(join(tmpdir(), "grapnel-e2e-"));
  const binary = devBinary(dir);
  const help = execFileSync(binary, ["--help"], { encoding: "utf8" });
  const supports = (flag) => help.includes(`--${flag}`);
  const [api, temporal, ui] = await freePorts(3);
  const args = [
    `--data-dir=${join(dir, "state")}`,
    `--api-addr=127.0.0.1:${api}`,
    `--temporal-addr=127.0.0.1:${temporal}`,
    `--ui-addr=127.0.0.1:${ui}`,
    "--metrics-addr=",
    "--no-receiver",
    // The second attempt comes at once, the third later than any test.
    "--retry-schedule=500ms,10m,30m,2h",
  ];
  for (const [name, value] of Object.entries(flags)) {
    if (supports(name)) {
      args.push(`--${name}=${value}`);
    }
  }
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const ready = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the stack is not ready after ${startup / 1000} s:\n${output}`)), startup);
    const read = (chunk) => {
      output = (output + chunk).slice(-20_000);
      const line = /^ready (.*)$/m.exec(output);
      if (line && output.includes("\n", line.index)) {
        clearTimeout(timer);
        resolve(Object.fromEntries(line[1].split(" ").map((pair) => pair.split(/=(.*)/s).slice(0, 2))));
      }
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
    ended.then((code) => reject(new Error(`the stack ended with ${code}:\n${output}`)));
  });
  const stop = async () => {
    child.kill("SIGINT");
    await ended;
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const found = await ready;
    return { url: found.api, key: found.key, supports, stop };
  } catch (err) {
    await stop();
    throw err;
  }
}
