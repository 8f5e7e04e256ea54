import type { AttemptTimings } from "../api/schema";

/** One bar of an attempt's waterfall. Times are milliseconds from the attempt's start. */
export interface Phase {
  name: string;
  from: number;
  to: number;
  /** What happens in the phase, for people who don't know it. */
  help: string;
}

/**
 * phases lays the API's timings one after another. dns_ms, connect_ms and tls_ms are lengths, and are 0 on a connection
 * that was open already; first_byte_ms counts from the start, and is 0 if there was no answer.
 */
export function phases(timings: AttemptTimings, duration: number): Phase[] {
  const found: Phase[] = [];
  let at = 0;
  const add = (name: string, length: number, help: string) => {
    if (length > 0) {
      const to = Math.min(at + length, duration);
      found.push({ name, from: at, to, help });
      at = to;
    }
  };
  add("DNS", timings.dns_ms, "Looking the host's name up");
  add("Connect", timings.connect_ms, "Opening the connection");
  add("TLS", timings.tls_ms, "Agreeing on encryption and checking the certificate");
  if (timings.first_byte_ms > at) {
    add("Wait", timings.first_byte_ms - at, "Sending the request and waiting for the first byte of the answer");
    add("Read", duration - at, "Reading the answer");
  } else {
    add("No answer", duration - at, "From there to the end of the attempt, without an answer");
  }
  return found;
}
