// What compiles here, compiles with receivers.
import type { IncomingHttpHeaders } from "node:http";
import { commenda, momento, standard, standardWebhooks, WebhookVerificationError, type VerificationCode } from "grapnel-verify";

export function express(request: { headers: IncomingHttpHeaders; body: Buffer }): VerificationCode | undefined {
  try {
    standard("secret", request.headers, request.body);
    momento("secret", request.headers, request.body);
    commenda("secret", request.headers, request.body.toString());
    standardWebhooks("whsec_AAEC/+8=", request.headers, request.body, { toleranceSeconds: 60 });
    return undefined;
  } catch (error) {
    if (error instanceof WebhookVerificationError) {
      return error.code;
    }
    throw error;
  }
}

export async function fetchHandler(request: Request): Promise<void> {
  standardWebhooks(["whsec_AAEC/+8="] as const, request.headers, new Uint8Array(await request.arrayBuffer()), { now: () => new Date(0) });
}
