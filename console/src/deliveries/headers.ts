/** headersOf reads headers as they are pasted: lines of "name: value", or a JSON object of texts or lists of texts. */
export function headersOf(text: string): { headers: Record<string, string> } | { wrong: string } {
  const trimmed = text.trim();
  if (trimmed === "") {
    return { wrong: "Paste the headers that the receiver got." };
  }
  return trimmed.startsWith("{") ? fromJSON(trimmed) : fromLines(trimmed);
}

function fromJSON(text: string): { headers: Record<string, string> } | { wrong: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (err) {
    return { wrong: `This is no JSON: ${(err as Error).message}` };
  }
  const headers: Record<string, string> = {};
  for (const [name, given] of Object.entries(value as Record<string, unknown>)) {
    const one = Array.isArray(given) ? given.join(", ") : given;
    if (typeof one !== "string" && typeof one !== "number") {
      return { wrong: `The header ${name} has no text.` };
    }
    headers[name] = String(one);
  }
  return { headers };
}

function fromLines(text: string): { headers: Record<string, string> } | { wrong: string } {
  const headers: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const clean = line.trim();
    // The first line of a request, as tools print it, is no header.
    if (clean === "" || /^[A-Z]+ \S+ HTTP\/[\d.]+$/.test(clean)) {
      continue;
    }
    const at = clean.indexOf(":", 1);
    if (at < 0) {
      return { wrong: `“${clean.slice(0, 60)}” is no header: write name: value.` };
    }
    const name = clean.slice(0, at).trim();
    const value = clean.slice(at + 1).trim();
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  return { headers };
}
