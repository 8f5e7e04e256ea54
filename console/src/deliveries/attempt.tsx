import type { Attempt } from "../api/schema";
import { JsonOrText } from "../ui/json";
import { Code, CopyButton, Duration, Time } from "../ui/text";
import type { Body } from "./body";
import { curl } from "./curl";
import { attemptResult } from "./lifecycle";
import { phases } from "./waterfall";
import "./deliveries.css";

/** AttemptPanel shows one attempt: its request and its response side by side, and where the time went. */
export function AttemptPanel({ attempt, body }: { attempt: Attempt; body: Body | undefined }) {
  const { request, response, error } = attempt;
  const command = curl(request.url, request.headers, body?.exact ? body.text : undefined);
  return (
    <section className="stack tight" aria-label={`Attempt ${attempt.number}`}>
      <div className="row apart">
        <p>
          <span className="strong">Attempt {attempt.number}</span>
          {attempt.manual ? " by hand" : ""}: {attemptResult(attempt)} in <Duration ms={attempt.duration_ms} />,{" "}
          <Time at={attempt.started_at} />
        </p>
        <CopyButton text={command} label="Copy as curl" />
      </div>
      {error ? <p className="wrong">{error.message}</p> : null}
      <Waterfall attempt={attempt} />
      <div className="grid">
        <div className="stack tight">
          <h3>Request</h3>
          <p className="mono wrap small">POST {request.url}</p>
          {attempt.remote_address ? <p className="small muted">to {attempt.remote_address}</p> : null}
          <Headers of={request.headers} />
          {body ? (
            <>
              <JsonOrText text={body.text} label="Request body" />
              {body.note ? <p className="small muted">{body.note}</p> : null}
            </>
          ) : null}
        </div>
        <div className="stack tight">
          <h3>Response</h3>
          {response ? (
            <>
              <p className="mono small">HTTP {response.status_code}</p>
              <Headers of={response.headers} />
              {response.body_base64 ? (
                <Code text={response.body_base64} label="Response body, in base64" />
              ) : response.body ? (
                <JsonOrText text={response.body} label="Response body" />
              ) : (
                <p className="small muted">No body.</p>
              )}
              {response.truncated ? (
                <p className="small muted">
                  Only the beginning is kept{response.body_length ? `, of ${response.body_length.toLocaleString("en")} bytes` : ""}.
                </p>
              ) : null}
            </>
          ) : (
            <p className="muted">There was no answer.</p>
          )}
        </div>
      </div>
    </section>
  );
}

function Headers({ of }: { of: Record<string, string[]> }) {
  const lines = Object.entries(of).flatMap(([name, values]) => values.map((value) => [name, value] as const));
  if (lines.length === 0) {
    return null;
  }
  return (
    <dl className="headers">
      {lines.map(([name, value], i) => (
        <div key={i}>
          <dt>{name}</dt>
          <dd>{value === "***" ? <span className="tag" title="The values of your own headers are hidden here">hidden</span> : value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Waterfall draws the phases of an attempt; the numbers stand beside the bars, for those who can't see them. */
function Waterfall({ attempt }: { attempt: Attempt }) {
  const found = phases(attempt.timings, attempt.duration_ms);
  if (found.length === 0) {
    return null;
  }
  const total = Math.max(attempt.duration_ms, 0.001);
  return (
    <table className="waterfall" aria-label="Where the time went">
      <tbody>
        {found.map((p) => (
          <tr key={p.name} title={p.help}>
            <th scope="row">{p.name}</th>
            <td>
              <span
                className={p.name === "No answer" ? "bar bad" : "bar"}
                style={{ marginLeft: `${(100 * p.from) / total}%`, width: `${(100 * (p.to - p.from)) / total}%` }}
              />
            </td>
            <td className="num">
              <Duration ms={p.to - p.from} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
