import { useMutation } from "@tanstack/react-query";
import { useId, useState } from "react";

import { acting, api, ApiError, unwrap } from "../api/client";
import type { DeliveryDetail, DiagnoseRequest, Diagnosis } from "../api/schema";
import { Dialog } from "../ui/dialog";
import { ErrorBox, Wrong } from "../ui/feedback";
import { Field } from "../ui/form";
import { State } from "../ui/state";
import { headersOf } from "./headers";

/**
 * DiagnoseButton opens a form for what a receiver got, and shows what is wrong with it. The API stores none of it.
 */
export function DiagnoseButton({ delivery, tenant }: { delivery: DeliveryDetail; tenant: string | undefined }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="button" onClick={() => setOpen(true)}>
        Diagnose signature
      </button>
      {open ? <Form delivery={delivery} tenant={tenant} close={() => setOpen(false)} /> : null}
    </>
  );
}

function Form({ delivery, tenant, close }: { delivery: DeliveryDetail; tenant: string | undefined; close: () => void }) {
  const [headers, setHeaders] = useState("");
  const [body, setBody] = useState("");
  const [secret, setSecret] = useState("");
  const [computed, setComputed] = useState("");
  const [typed, setTyped] = useState<string>();
  const ids = [useId(), useId()] as const;
  const compare = useMutation({
    mutationFn: (request: DiagnoseRequest) =>
      unwrap(api.POST("/v1/deliveries/{id}/diagnose", { ...acting(tenant), params: { path: { id: delivery.id } }, body: request })),
  });
  const wrong = compare.error instanceof ApiError ? compare.error : undefined;
  return (
    <Dialog title="Diagnose a signature" open onClose={close} wide>
      <form
        className="stack"
        onSubmit={(e) => {
          e.preventDefault();
          const read = headersOf(headers);
          if ("wrong" in read) {
            setTyped(read.wrong);
            return;
          }
          setTyped(undefined);
          compare.mutate({
            headers: read.headers,
            body,
            ...(secret.trim() === "" ? {} : { secret: secret }),
            ...(computed.trim() === "" ? {} : { computed_signature: computed.trim() }),
          });
        }}
      >
        <p className="muted">
          Paste what the receiver got. It is compared with what was sent; nothing of it is stored.
        </p>
        <div className="field">
          <label htmlFor={ids[0]}>Headers</label>
          <textarea
            id={ids[0]}
            className="code-area"
            rows={6}
            spellCheck={false}
            placeholder={"webhook-id: evt_…\nwebhook-timestamp: 1768480200\nwebhook-signature: v1,…"}
            value={headers}
            onChange={(e) => setHeaders(e.target.value)}
            aria-invalid={typed !== undefined || wrong?.at("body.headers") !== undefined}
          />
          <Wrong>{typed ?? wrong?.at("body.headers")}</Wrong>
          <span className="hint">One to a line, or a JSON object.</span>
        </div>
        <div className="field">
          <label htmlFor={ids[1]}>Body</label>
          <textarea id={ids[1]} className="code-area" rows={6} spellCheck={false} value={body} onChange={(e) => setBody(e.target.value)} aria-invalid={wrong?.at("body.body") !== undefined} />
          <Wrong>{wrong?.at("body.body")}</Wrong>
          <span className="hint">The raw body, every character as it arrived.</span>
        </div>
        <div className="fieldrow">
          <Field label="Secret that the receiver uses" hint="Optional. It is compared, and neither stored nor shown." type="password" autoComplete="off" value={secret} onChange={(e) => setSecret(e.target.value)} wrong={wrong?.at("body.secret")} />
          <Field label="Signature that the receiver computed" hint="Optional. It shows whether the key is decoded wrongly." autoComplete="off" spellCheck={false} value={computed} onChange={(e) => setComputed(e.target.value)} wrong={wrong?.at("body.computed_signature")} />
        </div>
        <ErrorBox error={compare.error} known={["body.headers", "body.body", "body.secret", "body.computed_signature"]} />
        <div className="row">
          <button type="submit" className="button primary" disabled={compare.isPending}>
            {compare.isPending ? "Comparing …" : "Compare"}
          </button>
        </div>
        {compare.data ? <Result diagnosis={compare.data} /> : null}
      </form>
    </Dialog>
  );
}

function Result({ diagnosis: d }: { diagnosis: Diagnosis }) {
  const good = d.verdict === "verified";
  return (
    <section className={`box ${good ? "ok" : "bad"}`} aria-label="Diagnosis" role="status">
      <div className="stack tight">
        <p className="strong">{d.summary}</p>
        {d.next_step ? (
          <p>
            <span className="strong">Next step:</span> {d.next_step}
          </p>
        ) : null}
        {d.body_compared ? null : <p className="small">The body could not be compared: what was sent is erased, or can't be rebuilt.</p>}
        {d.signatures.map((s, i) => (
          <p key={i} className="row tight">
            <State tone={s.valid ? "ok" : "bad"}>{s.valid ? "Verifies" : "Does not verify"}</State>
            <code>
              {s.header}
              {s.scheme ? ` ${s.scheme}` : ""}
            </code>
          </p>
        ))}
        {d.findings.map((f, i) => (
          <div key={i} className="stack tight">
            {i > 0 || f.summary !== d.summary ? <p>{f.summary}</p> : null}
            {i > 0 && f.next_step !== d.next_step ? <p className="small">{f.next_step}</p> : null}
            {f.difference ? (
              <dl className="facts small">
                <dt>First different byte</dt>
                <dd>
                  {f.difference.at}, of {f.difference.sent_length} sent and {f.difference.received_length} received
                </dd>
                <dt>Sent</dt>
                <dd>
                  <code className="wrap">{f.difference.sent}</code>
                </dd>
                <dt>Received</dt>
                <dd>
                  <code className="wrap">{f.difference.received}</code>
                </dd>
              </dl>
            ) : null}
          </div>
        ))}
      </div>
    </section>
  );
}
