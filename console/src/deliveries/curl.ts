/** quote makes one word of text for a POSIX shell. */
export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

// curl sets these itself.
const skipped = new Set(["content-length", "host", "accept-encoding", "connection", "transfer-encoding"]);

/**
 * curl returns a command that sends the request again by hand. A header whose value is hidden is given as *** with a
 * comment, since a guess would be worse.
 */
export function curl(url: string, headers: Record<string, string[]>, body?: string): string {
  const lines = [`curl -i -X POST ${quote(url)}`];
  let hidden = false;
  for (const [name, values] of Object.entries(headers)) {
    if (skipped.has(name.toLowerCase())) {
      continue;
    }
    for (const value of values) {
      hidden ||= value === "***";
      lines.push(`-H ${quote(`${name}: ${value}`)}`);
    }
  }
  if (body !== undefined) {
    lines.push(`--data-raw ${quote(body)}`);
  }
  const command = lines.join(" \\\n  ");
  return hidden ? `# Put the values of your own headers in place of ***.\n${command}` : command;
}

/** publishExample is a first event, for a page without any. */
export function publishExample(origin: string): string {
  const body = `{"type":"user.created","data":{"id":"user_123","email":"john@example.com"},"references":["user_123"]}`;
  return [
    `curl ${quote(`${origin}/v1/events`)}`,
    `-H "Authorization: Bearer $GRAPNEL_KEY"`,
    `-H 'Content-Type: application/json'`,
    `-d ${quote(body)}`,
  ].join(" \\\n  ");
}
