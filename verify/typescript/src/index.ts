/**
 * Verifies the signatures of Grapnel's webhooks on the receiver's side: one function for
 * each profile, and one for Standard Webhooks. Pass the unchanged headers and the raw body,
 * before any JSON parser. Each function returns if the request is valid and throws a
 * {@link WebhookVerificationError} otherwise.
 */
import { createHmac, createPublicKey, timingSafeEqual, verify as verifySignature, type KeyObject } from "node:crypto";

/** The reasons why a request is not valid. */
export type VerificationCode =
  /** A header that every request of the profile has is missing. */
  | "missing_header"
  /** A header is not in a format that Grapnel sends. */
  | "malformed_header"
  /** The request was signed longer ago than the tolerance: it may be a replay. */
  | "too_old"
  /** The request was signed later than now plus the tolerance: one of the clocks is wrong. */
  | "too_new"
  /** No signature fits this body with any of the keys. */
  | "no_match"
  /** A key passed to the function has no known format: a mistake of the receiver. */
  | "key";

/** The error for a request that is not valid. Its message never repeats a key. */
export class WebhookVerificationError extends Error {
  override readonly name = "WebhookVerificationError";
  constructor(
    readonly code: VerificationCode,
    message: string,
  ) {
    super(message);
  }
}

/** The headers of a request: those of fetch, or of node:http, whatever the case of their names. */
export type RequestHeaders =
  | { forEach(callback: (value: string, name: string) => void): void; get(name: string): string | null }
  | { readonly [name: string]: string | readonly string[] | undefined };

/** The raw body of a request; text is taken as UTF-8. */
export type RawBody = string | Uint8Array;

/**
 * Verifies the X-Webhook-Signature of the profile standard: the HMAC-SHA-256 of the body with the
 * whole secret, its prefix included. It has no timestamp: if the secret is whsec_ and
 * base64, use {@link standardWebhooks}, which also detects replays.
 */
export function standard(secret: string, headers: RequestHeaders, body: RawBody): void {
  verifyHex("sha256", secret, headers, "X-Webhook-Signature", body);
}

/**
 * Verifies the momento-signature of the profile momento: the HMAC-SHA3-256 of the body. The body
 * has publish_timestamp, in milliseconds, with which you can detect replays.
 */
export function momento(secret: string, headers: RequestHeaders, body: RawBody): void {
  verifyHex("sha3-256", secret, headers, "momento-signature", body);
}

/** Verifies the Commenda-X-Secret of the profile commenda: the HMAC-SHA-256 of the body with the webhook's key. */
export function commenda(secret: string, headers: RequestHeaders, body: RawBody): void {
  verifyHex("sha256", secret, headers, "Commenda-X-Secret", body);
}

/** Options of {@link standardWebhooks}. */
export interface StandardWebhooksOptions {
  /** How far the timestamp may be before or after now, in seconds; default 300. Infinity accepts any timestamp, for saved requests. */
  toleranceSeconds?: number;
  /** Returns the current time; default the system's clock. */
  now?: () => Date;
  /** Accepts secrets whose key has fewer than 24 bytes, which some systems create; default false. */
  allowShortKeys?: boolean;
}

/**
 * Verifies webhook-id, webhook-timestamp and webhook-signature. A key is a secret, whsec_ and
 * base64, or a public key, whpk_ and base64, from /.well-known/webhook-keys. One valid signature by one
 * of the keys is enough, so that either side can change to a new key by using both for a
 * while. A repeated request has the same webhook-id: remember the ids that you have handled.
 */
export function standardWebhooks(
  keys: string | readonly string[],
  headers: RequestHeaders,
  body: RawBody,
  options: StandardWebhooksOptions = {},
): void {
  const parsed = parseKeys(typeof keys === "string" ? [keys] : keys, options.allowShortKeys ?? false);
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const list = header(headers, "webhook-signature");
  const at = parseTimestamp(timestamp);
  // The signature covers the unchanged header.
  match(parsed, Buffer.concat([Buffer.from(`${id}.${timestamp}.`), bytes(body)]), list);
  // Only a signed timestamp can be trusted.
  const tolerance = options.toleranceSeconds ?? 300;
  const age = Math.floor((options.now?.() ?? new Date()).getTime() / 1000) - at;
  // Not age > tolerance: a tolerance that is not a number must refuse every request.
  if (!(age <= tolerance)) {
    throw new WebhookVerificationError("too_old", `webhook: the timestamp is too old: it was signed ${age} s ago`);
  }
  if (!(-age <= tolerance)) {
    throw new WebhookVerificationError("too_new", `webhook: the timestamp is too new: it is ${-age} s ahead`);
  }
}

function verifyHex(hash: string, secret: string, headers: RequestHeaders, name: string, body: RawBody): void {
  if (typeof secret !== "string" || secret === "") {
    throw new WebhookVerificationError("key", "webhook: a verification key is not usable: it is empty");
  }
  const text = header(headers, name);
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw malformed(`${name} is not 64 hexadecimal digits in lower case`);
  }
  const expected = createHmac(hash, Buffer.from(secret)).update(bytes(body)).digest();
  if (!timingSafeEqual(expected, Buffer.from(text, "hex"))) {
    throw noMatch();
  }
}

/** Returns the only value of a header. */
function header(headers: RequestHeaders, name: string): string {
  const wanted = name.toLowerCase();
  const found: string[] = [];
  const add = (value: string | readonly string[] | undefined, key: string): void => {
    if (key.toLowerCase() === wanted && value !== undefined) {
      found.push(...(typeof value === "string" ? [value] : value));
    }
  };
  if (isFetchHeaders(headers)) {
    headers.forEach(add);
  } else {
    for (const [key, value] of Object.entries(headers)) {
      add(value, key);
    }
  }
  const [value] = found;
  if (value === undefined || (found.length === 1 && value === "")) {
    throw new WebhookVerificationError("missing_header", `webhook: a header is missing: ${name}`);
  }
  if (found.length > 1) {
    throw malformed(`${name} is there ${found.length} times`);
  }
  return value;
}

function isFetchHeaders(headers: RequestHeaders): headers is Extract<RequestHeaders, { get: unknown }> {
  return typeof headers.forEach === "function" && typeof headers.get === "function";
}

function bytes(body: RawBody): Buffer {
  if (typeof body === "string") {
    return Buffer.from(body, "utf8");
  }
  if (body instanceof Uint8Array) {
    return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  }
  // A parsed body no longer has the signed bytes.
  throw new TypeError("webhook: the body must be the raw one, a string or bytes, not what a parser made of it");
}

/** The end of the year 9999. */
const lastSecond = 253402300799;

function parseTimestamp(text: string): number {
  const seconds = Number(text);
  if (!/^[0-9]{1,15}$/.test(text) || seconds > lastSecond) {
    throw malformed("webhook-timestamp is not in Unix seconds");
  }
  return seconds;
}

interface Keys {
  secrets: Buffer[];
  publics: KeyObject[];
}

/** The least size of a secret's key, in bytes (Standard Webhooks, "Signature scheme"). A shorter key can be guessed, or was cut. */
const minKeySize = 24;

function parseKeys(list: readonly string[], short: boolean): Keys {
  const keys: Keys = { secrets: [], publics: [] };
  // An environment variable that is not set is undefined, whatever the types declare.
  if (!Array.isArray(list) || list.length === 0) {
    throw new WebhookVerificationError("key", "webhook: a verification key is not usable: there is none");
  }
  list.forEach((text, i) => {
    const secret = decode(text, "whsec_");
    const raw = decode(text, "whpk_");
    if (secret !== undefined) {
      if (secret.length < minKeySize && !short) {
        throw new WebhookVerificationError("key", `webhook: a verification key is not usable: key ${i + 1} has fewer than ${minKeySize} bytes`);
      }
      keys.secrets.push(secret);
    } else if (raw?.length === 32) {
      keys.publics.push(createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" }));
    } else {
      // The text is not repeated: it may be a secret.
      throw new WebhookVerificationError("key", `webhook: a verification key is not usable: key ${i + 1} is neither whsec_ nor whpk_ and base64`);
    }
  });
  return keys;
}

function decode(text: string, prefix: string): Buffer | undefined {
  if (typeof text !== "string" || !text.startsWith(prefix)) {
    return undefined;
  }
  const value = base64(text.slice(prefix.length));
  return value !== undefined && value.length > 0 ? value : undefined;
}

/** Decodes padded standard base64; Buffer.from would ignore invalid characters. */
function base64(text: string): Buffer | undefined {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) {
    return undefined;
  }
  return Buffer.from(text, "base64");
}

/** The most signatures that are checked, to limit the cost of a forged request. Grapnel sends 10 at most. */
const maxSignatures = 32;

/** Unknown schemes are skipped: a later version may add some. */
function match(keys: Keys, signed: Buffer, list: string): void {
  let known = false;
  const entries = list.split(" ");
  if (entries.length > maxSignatures) {
    throw malformed(`webhook-signature has more than ${maxSignatures} signatures`);
  }
  for (const entry of entries) {
    const comma = entry.indexOf(",");
    if (comma < 0) {
      throw malformed("webhook-signature has an entry without a scheme");
    }
    const scheme = entry.slice(0, comma);
    if (scheme !== "v1" && scheme !== "v1a") {
      continue;
    }
    known = true;
    const given = base64(entry.slice(comma + 1));
    if (given === undefined) {
      throw malformed("webhook-signature has a signature that is not base64");
    }
    if (scheme === "v1" ? matchV1(keys, signed, given) : matchV1a(keys, signed, given)) {
      return;
    }
  }
  if (!known) {
    throw malformed("webhook-signature has neither v1 nor v1a");
  }
  throw noMatch();
}

function matchV1(keys: Keys, signed: Buffer, given: Buffer): boolean {
  return keys.secrets.some((secret) => {
    const expected = createHmac("sha256", secret).update(signed).digest();
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

function matchV1a(keys: Keys, signed: Buffer, given: Buffer): boolean {
  return given.length === 64 && keys.publics.some((key) => verifySignature(null, signed, key, given));
}

function malformed(what: string): WebhookVerificationError {
  return new WebhookVerificationError("malformed_header", `webhook: a header is malformed: ${what}`);
}

function noMatch(): WebhookVerificationError {
  return new WebhookVerificationError("no_match", "webhook: no signature matches: the key is another, or the body was changed");
}
