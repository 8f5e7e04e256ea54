import type { EventDetail, WebhookProfile } from "../api/schema";

/** A request body as far as the browser can know it. */
export interface Body {
  text: string;
  /** Whether text is byte for byte what was sent. */
  exact: boolean;
  note?: string;
}

/**
 * requestBody rebuilds what was sent from the event. The API keeps data in the form that JSON.stringify prints, so the
 * standard body comes out byte for byte (specification 2). The other profiles add members that only the server knows.
 */
export function requestBody(event: EventDetail, profile: WebhookProfile | undefined): Body {
  if (event.cache_name !== undefined || profile === "momento") {
    return {
      text: JSON.stringify({ cache: event.cache_name, topic: event.type, text: event.data }),
      exact: false,
      note: "The request also carried the message's times, its number and the publisher's token id.",
    };
  }
  if (profile === "commenda") {
    return {
      text: JSON.stringify({ topic: event.type, data: event.data }),
      exact: false,
      note: "The request also carried the ids, the time and the version of Commenda's event object.",
    };
  }
  const text = JSON.stringify({ id: event.id, type: event.type, created_at: event.created_at, data: event.data });
  return { text, exact: true };
}
