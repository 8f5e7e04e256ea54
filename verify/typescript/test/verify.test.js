import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign as signMessage } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { commenda, momento, standard, standardWebhooks, WebhookVerificationError } from "grapnel-verify";
import * as vendor from "standardwebhooks";
import * as svix from "svix";

const vectors = JSON.parse(readFileSync(new URL("./signatures.json", import.meta.url), "utf8"));

const current = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const previous = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const foreign = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const signedAt = 1614265330;
const body = Buffer.from('{"id":"evt_1","data":"é"}');

/** Asserts that call throws an error with the code, whose message has no key. */
function refused(code, call, message = "") {
  assert.throws(call, (error) => {
    assert.ok(error instanceof WebhookVerificationError, String(error));
    assert.equal(error.code, code, `${message} ${error.message}`);
    assert.doesNotMatch(error.message, /whsec_[A-Za-z0-9]/);
    return true;
  });
}

function v1(secret, id, timestamp, content) {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  return "v1," + createHmac("sha256", key).update(`${id}.${timestamp}.`).update(content).digest("base64");
}

function keyPair() {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const x = publicKey.export({ format: "jwk" }).x;
  return { privateKey, whpk: "whpk_" + Buffer.from(x, "base64url").toString("base64") };
}

function v1a(privateKey, id, timestamp, content) {
  return "v1a," + signMessage(null, Buffer.concat([Buffer.from(`${id}.${timestamp}.`), content]), privateKey).toString("base64");
}

function signed(...signatures) {
  return { "webhook-id": "evt_1", "webhook-timestamp": String(signedAt), "webhook-signature": signatures.join(" ") };
}

/** Verifies a request the given number of seconds after it was signed. */
function check(keys, headers, after = 0, content = body) {
  standardWebhooks(keys, headers, content, { now: () => new Date((signedAt + after) * 1000) });
}

const profiles = [
  [standard, "X-Webhook-Signature", "sha256"],
  [momento, "momento-signature", "sha3-256"],
  [commenda, "Commenda-X-Secret", "sha256"],
];

test("the vectors of the profiles", () => {
  let tried = 0;
  for (const v of vectors.hmac) {
    const content = Buffer.from(v.body_base64, "base64");
    for (const [verify, name, hash] of profiles) {
      const headers = { [name]: v.signature };
      if (v.scheme !== `hmac-${hash}`) {
        refused("no_match", () => verify(v.key_utf8, headers, content), v.name);
        continue;
      }
      verify(v.key_utf8, headers, content);
      verify(v.key_utf8, headers, content.toString("utf8"));
      tried++;
    }
  }
  assert.equal(tried, 9);
});

test("the vectors of Standard Webhooks", () => {
  assert.equal(vectors.standard_webhooks.length, 2);
  for (const v of vectors.standard_webhooks) {
    const headers = { "webhook-id": v.webhook_id, "webhook-timestamp": String(v.webhook_timestamp), "webhook-signature": v.signature };
    const key = v.public ?? v.secret;
    standardWebhooks(key, headers, v.body, { toleranceSeconds: Infinity });
    refused("too_old", () => standardWebhooks(key, headers, v.body), "by default it looks at the clock");
  }
});

for (const [verify, name, hash] of profiles) {
  test(`${verify.name}: what is refused, and why`, () => {
    const secret = "whsec_abc123";
    const sum = createHmac(hash, secret).update(body).digest("hex");
    for (const spelled of [name, name.toLowerCase(), name.toUpperCase()]) {
      verify(secret, { [spelled]: sum }, body);
      verify(secret, { [spelled]: [sum] }, body);
      verify(secret, new Headers({ [spelled]: sum }), new Uint8Array(body));
    }
    refused("no_match", () => verify("whsec_abc124", { [name]: sum }, body));
    refused("no_match", () => verify(secret, { [name]: sum }, body + "\n"));
    refused("no_match", () => verify(secret, { [name]: sum }, ""));
    refused("key", () => verify("", { [name]: sum }, body));
    refused("key", () => verify(undefined, { [name]: sum }, body));
    for (const headers of [{}, { [name]: undefined }, { [name]: "" }, { [name]: [] }, { other: sum }, new Headers()]) {
      refused("missing_header", () => verify(secret, headers, body));
    }
    for (const value of [sum.slice(1), sum + "00", sum.toUpperCase(), "sha256=" + sum, "x".repeat(64), [sum, sum], `${sum}, ${sum}`, secret, sum + "\n"]) {
      refused("malformed_header", () => verify(secret, { [name]: value }, body), value);
    }
    assert.throws(() => verify(secret, { [name]: sum }, JSON.parse(body)), TypeError);
  });
}

test("each signature is enough, and each key", () => {
  const [one, two, stranger] = [keyPair(), keyPair(), keyPair()];
  const headers = signed(
    v1(current, "evt_1", signedAt, body), v1(previous, "evt_1", signedAt, body),
    v1a(one.privateKey, "evt_1", signedAt, body), v1a(two.privateKey, "evt_1", signedAt, body),
  );
  for (const key of [current, previous, one.whpk, two.whpk]) {
    check(key, headers);
    check([foreign, stranger.whpk, key], headers);
    check(key, new Headers(headers));
  }
  refused("no_match", () => check([foreign, stranger.whpk], headers));
  refused("no_match", () => check(one.whpk, signed(v1(current, "evt_1", signedAt, body))));
  refused("no_match", () => check(current, signed(v1a(one.privateKey, "evt_1", signedAt, body))));
  refused("no_match", () => check([current, one.whpk], headers, 0, Buffer.concat([body, Buffer.from(" ")])));
  refused("no_match", () => check([current, one.whpk], { ...headers, "webhook-id": "evt_2" }));
});

test("keys that can't be used", () => {
  const headers = signed(v1(current, "evt_1", signedAt, body));
  for (const keys of [undefined, null, [], [""], ["whsec_"], ["plain"], ["whpk_AAEC"], ["whpk_"], ["whsk_AAEC/+8="], [current, "whsec_!"], [current + "\n"], [undefined]]) {
    refused("key", () => check(keys, headers));
  }
});

test("the tolerance", () => {
  const headers = signed(v1(current, "evt_1", signedAt, body));
  for (const after of [-300, 0, 300]) {
    check(current, headers, after);
  }
  refused("too_old", () => check(current, headers, 301));
  refused("too_new", () => check(current, headers, -301));
  const within = (toleranceSeconds, after) =>
    standardWebhooks(current, headers, body, { toleranceSeconds, now: () => new Date((signedAt + after) * 1000) });
  within(0, 0);
  within(3600, 3600);
  within(Infinity, 1e9);
  refused("too_old", () => within(0, 1));
  refused("too_old", () => within(NaN, 0), "what is no number lets nothing through");
  refused("no_match", () => check(current, { ...headers, "webhook-timestamp": String(signedAt + 3600) }, 3600), "it is signed");
});

test("headers that are missing or malformed", () => {
  const good = v1(current, "evt_1", signedAt, body);
  for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
    const headers = signed(good);
    refused("malformed_header", () => check(current, { ...headers, [name]: [headers[name], headers[name]] }));
    delete headers[name];
    refused("missing_header", () => check(current, headers));
  }
  for (const list of ["v1", "v1,!", "v2," + good.slice(3), "v1;x", "v1,\0", "v2,a ".repeat(32) + good]) {
    refused("malformed_header", () => check(current, signed(list)), list);
  }
  for (const list of ["v2,anything " + good, good + " v9,x", "v1,AAAA " + good, "v1a,AAAA " + good]) {
    check(current, signed(list));
  }
  for (const at of ["now", "-1", "+1614265330", "1614265330.5", "99999999999999999999", "253402300800", " 1614265330", "0x10"]) {
    refused("malformed_header", () => check(current, { ...signed(good), "webhook-timestamp": at }), at);
  }
});

test("the vendors' libraries and ours verify what the others sign", () => {
  for (const { Webhook } of [vendor, svix]) {
    for (const content of ["", "{}", '{"a":"é😀\u2028"}', "x".repeat(100_000)]) {
      const now = new Date();
      const webhook = new Webhook(current);
      const timestamp = String(Math.floor(now.getTime() / 1000));
      const headers = { "webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": webhook.sign("evt_1", now, content) };
      standardWebhooks([current], headers, content);
      refused("no_match", () => standardWebhooks([previous], headers, content));
      if (content !== "" && content[0] === "{") {
        headers["webhook-signature"] = v1(previous, "evt_1", timestamp, content) + " " + v1(current, "evt_1", timestamp, content);
        webhook.verify(content, headers);
        headers["webhook-signature"] = v1a(keyPair().privateKey, "evt_1", timestamp, Buffer.from(content)) + " " + v1(current, "evt_1", timestamp, content);
        webhook.verify(content, headers); // these libraries skip v1a
      }
    }
  }
});

test("keys of fewer than 24 bytes are refused, unless they are allowed", () => {
  for (const short of ["whsec_AAEC/+8=", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY="]) {
    const headers = signed(v1(short, "evt_1", signedAt, body));
    const now = () => new Date(signedAt * 1000);
    refused("key", () => standardWebhooks(short, headers, body, { now }));
    standardWebhooks(short, headers, body, { now, allowShortKeys: true });
  }
});
