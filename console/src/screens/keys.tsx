import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";

import { ShownOnce } from "../accounts/once";
import * as queries from "../accounts/queries";
import { acting, api, ApiError, unwrap } from "../api/client";
import { pageSize } from "../api/queries";
import type { ApiKey, CreateApiKeyRequest, CreatedApiKey } from "../api/schema";
import { useCan, useOperator } from "../api/session";
import { useScope } from "../lib/scope";
import { fromLocal } from "../lib/time";
import { ConfirmDialog, Dialog } from "../ui/dialog";
import { Empty, ErrorBox, useDone, Wrong } from "../ui/feedback";
import { Check, Field } from "../ui/form";
import { shortId } from "../ui/names";
import { Page, Pager } from "../ui/page";
import { State } from "../ui/state";
import { Table } from "../ui/table";
import { Id, Time } from "../ui/text";

const route = getRouteApi("/keys");

/** The API keys of an account. */
export function Keys() {
  const { cursor } = route.useSearch();
  const scope = useScope();
  const may = useCan("keys");
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey>();
  const done = useDone();
  const list = useQuery({ ...queries.keys(scope.one, { limit: pageSize, ...(cursor ? { cursor } : {}) }), enabled: may });
  const rows = list.data?.api_keys;
  const name = (k: ApiKey) => k.name || "without a name";
  if (!may) {
    return (
      <Page title="Keys">
        <Empty title="Not for this token">
          <p>Only an admin key of the account sees its keys.</p>
        </Empty>
      </Page>
    );
  }
  return (
    <Page
      title="Keys"
      sub={scope.all ? "Keys of the tenant default, with the platform keys. Choose another tenant at the top to see its keys." : undefined}
      actions={
        <button type="button" className="button primary" onClick={() => setCreating(true)}>
          New key
        </button>
      }
    >
      {list.error ? <ErrorBox error={list.error} retry={() => void list.refetch()} /> : null}
      {rows?.length === 0 ? (
        <Empty title="No keys yet">
          <p>A key lets a program use the API. Give each program its own, with no more scopes than it needs.</p>
        </Empty>
      ) : list.error && rows === undefined ? null : (
        <Table<ApiKey>
          label="API keys"
          rows={rows}
          id={(k) => k.id}
          columns={[
            { head: "State", cell: (k) => <KeyState of={k} /> },
            { head: "Name", lead: true, cell: (k) => <span className="clip" title={name(k)}>{name(k)}</span> },
            {
              head: "Scopes",
              cell: (k) => (
                <span className="row tight">
                  {k.operator ? <span className="tag">operator</span> : null}
                  {k.platform && !k.operator ? <span className="tag">platform</span> : null}
                  {k.scopes.map((s) => (
                    <span key={s} className="tag">
                      {s}
                    </span>
                  ))}
                  {k.subscribe ? <span className="tag">subscribe</span> : null}
                  {k.topics?.length || k.caches?.length ? <span className="muted small">for {[...(k.topics ?? []), ...(k.caches ?? []).map((c) => `cache ${c}`)].join(", ")}</span> : null}
                </span>
              ),
            },
            { head: "Key", cell: (k) => <Id value={k.id} shown={shortId(k.id)} /> },
            { head: "Expires", num: true, cell: (k) => (k.expires_at ? <Time at={k.expires_at} /> : <span className="muted">never</span>) },
            { head: "Created", num: true, cell: (k) => <Time at={k.created_at} /> },
            {
              head: "Actions",
              cell: (k) => (
                <span className="row tight fixed">
                  <Link className="button small" to="/audit-log" search={{ actor: k.id }}>
                    Its changes
                  </Link>
                  {k.revoked_at || k.operator ? null : (
                    <button type="button" className="button small danger" onClick={() => setRevoking(k)}>
                      Revoke
                    </button>
                  )}
                </span>
              ),
            },
          ]}
        />
      )}
      <Pager cursor={cursor} next={list.data?.next_cursor} rows={rows?.length} limit={pageSize} />
      {creating ? <Create tenant={scope.one} close={() => setCreating(false)} /> : null}
      <ConfirmDialog
        title={`Revoke ${revoking ? name(revoking) : "the key"}`}
        open={revoking !== undefined}
        onClose={() => setRevoking(undefined)}
        verb="Revoke"
        danger
        run={() => unwrap(api.DELETE("/v1/api-keys/{id}", { ...acting(scope.one), params: { path: { id: revoking!.id } } })).then(() => done("The key is revoked"))}
      >
        <p>Every process refuses it from now on. Programs that use it stop working. It can't be made valid again.</p>
      </ConfirmDialog>
    </Page>
  );
}

function KeyState({ of: k }: { of: ApiKey }) {
  if (k.revoked_at) {
    return <State tone="off">Revoked</State>;
  }
  if (k.expires_at && Date.parse(k.expires_at) <= Date.now()) {
    return <State tone="off">Expired</State>;
  }
  return <State tone="ok">Valid</State>;
}

type Scope = CreateApiKeyRequest["scopes"][number];

const scopes: [Scope, string, string][] = [
  ["publish", "publish", "Publishes events and messages."],
  ["read", "read", "Reads events, deliveries and webhooks."],
  ["webhooks", "webhooks", "Manages webhooks, with their tests, retries and replays."],
  ["subscribe", "subscribe", "Follows topics, and nothing else."],
  ["admin", "admin", "All of these; and keys, event types and the audit log."],
];

function Create({ tenant, close }: { tenant: string | undefined; close: () => void }) {
  const client = useQueryClient();
  const operator = useOperator();
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<readonly Scope[]>(["publish"]);
  const [topics, setTopics] = useState("");
  const [expires, setExpires] = useState("");
  const [made, setMade] = useState<CreatedApiKey>();
  const create = useMutation({
    mutationFn: () => {
      const patterns = topics.split(/[\s,]+/).filter((t) => t !== "");
      return unwrap(
        api.POST("/v1/api-keys", {
          ...acting(tenant),
          body: {
            name: name.trim(),
            scopes: [...chosen],
            ...(patterns.length ? { topics: patterns } : {}),
            ...(expires === "" ? {} : { expires_at: fromLocal(expires) }),
          },
        }),
      );
    },
    onSuccess: (k) => {
      setMade(k);
      void client.invalidateQueries({ queryKey: ["api-keys"] });
    },
  });
  if (made) {
    return <ShownOnce title={`${made.name} is made`} label="API key" value={made.key} close={close} />;
  }
  const wrong = create.error instanceof ApiError ? create.error : undefined;
  const offered = operator && tenant === undefined ? [...scopes, ["platform", "platform", "Acts for every tenant, within its other scopes."] as [Scope, string, string]] : scopes;
  return (
    <Dialog title="New key" open onClose={close}>
      <form
        className="stack"
        onSubmit={(e) => {
          e.preventDefault();
          create.mutate();
        }}
      >
        <Field label="Name" required maxLength={100} autoFocus value={name} onChange={(e) => setName(e.target.value)} wrong={wrong?.at("body.name")} hint="What it is for." />
        <fieldset className="field">
          <legend>What it may do</legend>
          {offered.map(([value, label, hint]) => (
            <Check key={value} label={label} hint={hint} checked={chosen.includes(value)} onChange={(on) => setChosen(on ? [...chosen, value] : chosen.filter((s) => s !== value))} />
          ))}
          <Wrong>{wrong?.at("body.scopes")}</Wrong>
        </fieldset>
        <Field label="Only these event types" spellCheck={false} value={topics} onChange={(e) => setTopics(e.target.value)} wrong={wrong?.at("body.topics")} hint="Optional. Names or patterns such as user.*, separated by commas." />
        <Field label="Expires" type="datetime-local" value={expires} onChange={(e) => setExpires(e.target.value)} wrong={wrong?.at("body.expires_at")} hint="Optional. Default: never." />
        <ErrorBox error={create.error} known={["body.name", "body.scopes", "body.topics", "body.expires_at"]} />
        <div className="row">
          <button type="submit" className="button primary" disabled={create.isPending || chosen.length === 0}>
            Create
          </button>
        </div>
      </form>
    </Dialog>
  );
}
