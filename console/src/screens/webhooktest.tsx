import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";

import { acting, api, ApiError, unwrap } from "../api/client";
import { eventTypes } from "../api/queries";
import type { EventType, Webhook } from "../api/schema";
import { AttemptPanel } from "../deliveries/attempt";
import { matches, operationalTypes } from "../lib/eventtypes";
import { useScope } from "../lib/scope";
import { ErrorBox, useDone } from "../ui/feedback";
import { JsonEditor, parseTyped } from "../ui/json";
import { Card } from "../ui/page";
import { DeliveryState } from "../ui/state";

/** The types that can be tested: those that the webhook gets, the ones it names first. */
export function testable(w: Pick<Webhook, "events">, types: readonly EventType[]): string[] {
  const named = w.events.filter((e) => !e.includes("*") && !operationalTypes.includes(e));
  const matched = types.filter((t) => !t.deprecated && !operationalTypes.includes(t.name) && w.events.some((e) => matches(e, t.name))).map((t) => t.name);
  return [...new Set([...named, ...matched])];
}

/** Sends a sample to the webhook and shows the request and the answer here. */
export function WebhookTest({ webhook: w }: { webhook: Webhook }) {
  const scope = useScope();
  const done = useDone();
  const types = useQuery(eventTypes(scope.one));
  const choices = testable(w, types.data ?? []);
  const [chosen, setChosen] = useState<string>();
  const type = chosen ?? choices[0];
  const example = types.data?.find((t) => t.name === type)?.example;
  const [own, setOwn] = useState(false);
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState<string>();
  const send = useMutation({
    mutationFn: (data: unknown) =>
      unwrap(
        api.POST("/v1/webhooks/{id}/test", {
          ...acting(scope.one), params: { path: { id: w.id } },
          body: { ...(chosen !== undefined && { type: chosen }), ...(data !== undefined && { data: data as never }) },
        }),
      ),
    onSettled: () => done(),
  });
  const run = () => {
    if (!own) {
      send.mutate(undefined);
      return;
    }
    const read = parseTyped(typed);
    if ("wrong" in read) {
      setWrong(read.wrong);
      return;
    }
    send.mutate(read.value);
  };
  const at = (location: string) => (send.error instanceof ApiError ? send.error.at(location) : undefined);
  const result = send.data;
  const attempt = result?.attempt_log.at(-1);
  return (
    <div className="stack">
      <Card title="Send a test">
        <form
          className="stack"
          onSubmit={(e) => {
            e.preventDefault();
            run();
          }}
        >
          <p className="muted">
            One request is sent now, signed like every other, and not repeated. It appears in the list of deliveries as a test. A paused webhook is tested, too; events to it still wait.
          </p>
          <div className="field" style={{ maxWidth: 420 }}>
            <label htmlFor="test-type">Event type</label>
            <select id="test-type" value={type ?? ""} onChange={(e) => setChosen(e.target.value)} disabled={choices.length === 0}>
              {choices.length === 0 && <option value="">the webhook's first</option>}
              {choices.map((c) => (
                <option key={c} value={c}>
                  {c}
                </option>
              ))}
            </select>
            {at("body.type") && <span className="wrong">{at("body.type")}</span>}
          </div>
          <div className="check">
            <input
              id="test-own"
              type="checkbox"
              checked={own}
              onChange={(e) => {
                setOwn(e.target.checked);
                if (e.target.checked && typed === "") setTyped(JSON.stringify(example ?? {}, null, 2));
              }}
            />
            <label htmlFor="test-own">Send data of my own instead of the sample</label>
          </div>
          {own && (
            <JsonEditor
              label="Data of the event, as JSON"
              value={typed}
              wrong={wrong ?? at("body.data") ?? at("body/data")}
              onChange={(v) => {
                setTyped(v);
                setWrong(undefined);
              }}
            />
          )}
          <ErrorBox error={send.error} known={["body.type", ...(own ? ["body.data", "body/data"] : [])]} />
          <div className="row">
            <button type="submit" className="button primary" disabled={send.isPending}>
              {send.isPending ? `Waiting for the answer, at most ${w.timeout_seconds} s …` : "Send the test"}
            </button>
          </div>
        </form>
      </Card>
      {result && attempt && (
        <Card
          title={
            <span className="row">
              Result <DeliveryState delivery={result} />
            </span>
          }
          actions={
            <Link to="/deliveries/$id" params={{ id: result.id }} search={{ of: scope.one }} className="small">
              Open the delivery
            </Link>
          }
        >
          <div className="stack" aria-live="polite">
            {attempt.explanation && (
              <div className="box bad">
                <p className="strong">{attempt.explanation.summary}</p>
                <p>{attempt.explanation.next_step}</p>
              </div>
            )}
            <AttemptPanel attempt={attempt} body={undefined} />
          </div>
        </Card>
      )}
    </div>
  );
}
