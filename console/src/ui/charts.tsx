// Small charts of our own, as SVG: enough for counts and latencies over time, without a library.
import { useId } from "react";

import { count, share, short } from "../lib/numbers";
import { duration, tick } from "../lib/time";

export interface Point {
  at: string;
  delivered: number;
  failed: number;
  attempts: number;
  failed_attempts: number;
  latency_p50_ms?: number;
  latency_p99_ms?: number;
}

type Step = "minute" | "hour" | "day";

// About as wide as it is shown, so that its text has about its own size.
const box = { width: 380, height: 150, left: 48, right: 8, top: 10, bottom: 22 };
const inner = { width: box.width - box.left - box.right, height: box.height - box.top - box.bottom };

/** A round number that is at least n: 1, 2 or 5 times a power of ten. */
export function ceiling(n: number): number {
  if (n <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(n));
  for (const step of [1, 2, 5, 10]) if (step * power >= n) return step * power;
  return 10 * power;
}

function Axis({ top, format, points, step }: { top: number; format: (n: number) => string; points: readonly Point[]; step: Step }) {
  const last = points.length - 1;
  const long = last > 0 && new Date(points[last]!.at).getTime() - new Date(points[0]!.at).getTime() > 2 * 86_400_000;
  const every = Math.max(1, Math.ceil(points.length / (long ? 3 : 5)));
  return (
    <g>
      {[0, 0.5, 1].map((f) => (
        <g key={f}>
          <line className="axis" x1={box.left} x2={box.width - box.right} y1={box.top + inner.height * (1 - f)} y2={box.top + inner.height * (1 - f)} />
          <text x={box.left - 6} y={box.top + inner.height * (1 - f) + 4} textAnchor="end">
            {format(top * f)}
          </text>
        </g>
      ))}
      {points.map((p, i) =>
        i % every === 0 && (i === 0 || last - i >= every / 4) ? (
          <text key={p.at} x={box.left + (inner.width * (i + 0.5)) / points.length} y={box.height - 5} textAnchor="middle">
            {tick(new Date(p.at), step, long)}
          </text>
        ) : null,
      )}
    </g>
  );
}

function when(p: Point, step: Step): string {
  const t = new Date(p.at);
  return step === "day" ? t.toDateString() : t.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** Deliveries by outcome over time, failed ones on top and hatched. */
export function OutcomeChart({ points, step, label }: { points: readonly Point[]; step: Step; label: string }) {
  const hatch = useId();
  // Even, so that half of it is a whole number too.
  const most = ceiling(Math.max(...points.map((p) => p.delivered + p.failed), 0));
  const top = most + (most % 2);
  const width = inner.width / Math.max(1, points.length);
  const bar = Math.max(1, Math.min(width - 1, 26));
  const delivered = points.reduce((s, p) => s + p.delivered, 0);
  const failed = points.reduce((s, p) => s + p.failed, 0);
  return (
    <figure>
      <svg className="chart" viewBox={`0 0 ${box.width} ${box.height}`} role="img" aria-label={`${label}: ${count(delivered)} delivered, ${count(failed)} failed`}>
        <defs>
          <pattern id={hatch} width={4} height={4} patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect width={4} height={4} className="b-bad" />
            <rect width={1} height={4} fill="var(--surface)" />
          </pattern>
        </defs>
        <Axis top={top} format={short} points={points} step={step} />
        {points.map((p, i) => {
          const x = box.left + width * i + (width - bar) / 2;
          const ok = (inner.height * p.delivered) / top;
          const bad = (inner.height * p.failed) / top;
          const base = box.top + inner.height;
          return (
            <g key={p.at}>
              {p.delivered > 0 && <rect className="b-ok" x={x} width={bar} y={base - ok} height={Math.max(ok, 1)} />}
              {p.failed > 0 && <rect fill={`url(#${hatch})`} x={x} width={bar} y={base - ok - Math.max(bad, 1)} height={Math.max(bad, 1)} />}
              <rect className="hover" x={box.left + width * i} width={width} y={box.top} height={inner.height}>
                <title>{`${when(p, step)}\n${count(p.delivered)} delivered, ${count(p.failed)} failed\n${count(p.attempts)} attempts, ${count(p.failed_attempts)} failed`}</title>
              </rect>
            </g>
          );
        })}
      </svg>
      <figcaption className="legend">
        <span><i className="ok" />Delivered</span>
        <span><i className="bad" />Failed</span>
      </figcaption>
    </figure>
  );
}

/** Values over time. Where there is none, the line has a gap; a value without a neighbour is a dot. */
function Line({ values, top, second = false }: { values: readonly (number | undefined)[]; top: number; second?: boolean }) {
  const width = inner.width / Math.max(1, values.length);
  const x = (i: number) => (box.left + width * (i + 0.5)).toFixed(1);
  const y = (v: number) => (box.top + inner.height * (1 - Math.min(1, v / top))).toFixed(1);
  const kind = second ? "line second" : "line";
  const d = values.map((v, i) => (v === undefined ? "" : `${values[i - 1] === undefined ? "M" : "L"}${x(i)} ${y(v)}`)).join("");
  return (
    <>
      <path className={kind} d={d} />
      {values.map((v, i) => (v !== undefined && values[i - 1] === undefined && values[i + 1] === undefined ? <circle key={i} className={`${kind} dot`} cx={x(i)} cy={y(v)} r={2.5} /> : null))}
    </>
  );
}

/** The share of attempts that succeeded, over time. Where there were none, there is no line. */
export function SuccessChart({ points, step }: { points: readonly Point[]; step: Step }) {
  const values = points.map((p) => (p.attempts > 0 ? (100 * (p.attempts - p.failed_attempts)) / p.attempts : undefined));
  const attempts = points.reduce((s, p) => s + p.attempts, 0);
  const failed = points.reduce((s, p) => s + p.failed_attempts, 0);
  return (
    <figure>
      <svg className="chart" viewBox={`0 0 ${box.width} ${box.height}`} role="img" aria-label={`Share of attempts that succeeded: ${share(attempts - failed, attempts) ?? "none were made"}`}>
        <Axis top={100} format={(n) => `${n} %`} points={points} step={step} />
        <Line values={values} top={100} />
        <Hovers points={points} step={step} text={(p) => (p.attempts > 0 ? `${share(p.attempts - p.failed_attempts, p.attempts)} of ${count(p.attempts)} attempts` : "no attempts")} />
      </svg>
      <figcaption className="legend">
        <span><i className="line" />Attempts that succeeded</span>
      </figcaption>
    </figure>
  );
}

/** Half of the attempts, and 99 of 100, were answered within this time. */
export function LatencyChart({ points, step }: { points: readonly Point[]; step: Step }) {
  const top = ceiling(Math.max(...points.map((p) => Math.max(p.latency_p50_ms ?? 0, p.latency_p99_ms ?? 0)), 1));
  const measured = (v: number | undefined, p: Point) => (p.attempts > 0 ? v : undefined);
  return (
    <figure>
      <svg className="chart" viewBox={`0 0 ${box.width} ${box.height}`} role="img" aria-label="Latency of attempts over time">
        <Axis top={top} format={duration} points={points} step={step} />
        <Line values={points.map((p) => measured(p.latency_p99_ms, p))} top={top} second />
        <Line values={points.map((p) => measured(p.latency_p50_ms, p))} top={top} />
        <Hovers points={points} step={step} text={(p) => (p.attempts > 0 ? `p50 ${duration(p.latency_p50_ms ?? 0)}, p99 ${duration(p.latency_p99_ms ?? 0)}` : "no attempts")} />
      </svg>
      <figcaption className="legend">
        <span><i className="line" />p50</span>
        <span><i className="second" />p99</span>
      </figcaption>
    </figure>
  );
}

function Hovers({ points, step, text }: { points: readonly Point[]; step: Step; text: (p: Point) => string }) {
  const width = inner.width / Math.max(1, points.length);
  return points.map((p, i) => (
    <rect key={p.at} className="hover" x={box.left + width * i} width={width} y={box.top} height={inner.height}>
      <title>{`${when(p, step)}\n${text(p)}`}</title>
    </rect>
  ));
}

/** Outcomes in the height of a row. */
export function Spark({ points }: { points: readonly { delivered: number; failed: number }[] }) {
  const top = Math.max(...points.map((p) => p.delivered + p.failed), 1);
  const w = 100 / Math.max(1, points.length);
  return (
    <svg className="chart" viewBox="0 0 100 20" width={100} height={20} aria-hidden="true" preserveAspectRatio="none" style={{ width: 100 }}>
      {points.map((p, i) => (
        <g key={i}>
          <rect className="b-ok" x={i * w} width={Math.max(0.5, w - 0.5)} y={20 - (20 * p.delivered) / top} height={(20 * p.delivered) / top} />
          <rect className="b-bad" x={i * w} width={Math.max(0.5, w - 0.5)} y={20 - (20 * (p.delivered + p.failed)) / top} height={(20 * p.failed) / top} />
        </g>
      ))}
    </svg>
  );
}
