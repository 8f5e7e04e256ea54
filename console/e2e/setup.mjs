// What the test files share: one stack, one receiver, one browser and the seeded data, started once by run.mjs, which
// passes their addresses on. The browser is each file's own.
import { client } from "./api.mjs";

const given = JSON.parse(process.env.GRAPNEL_E2E ?? "{}");

export const base = given.url;
export const api = client(given.url, given.key);
export const key = given.key;
export const made = given.made;
/** Whether the stack lets the embedding page's origin frame the console. */
export const frames = given.frames;

/** receiver is the runner's receiver, by its control paths. */
export const receiver = {
  url: given.receiver,
  answer: async (path, how) => {
    const response = await fetch(`${given.control}/answer`, { method: "POST", body: JSON.stringify({ path, how }) });
    if (!response.ok) {
      throw new Error(`the receiver's control answered ${response.status}`);
    }
  },
  requests: async (path) => (await fetch(`${given.control}/requests?path=${encodeURIComponent(path)}`)).json(),
};
