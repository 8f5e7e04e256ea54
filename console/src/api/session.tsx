import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState, useSyncExternalStore } from "react";

import { applyTheme } from "../lib/theme";
import { SignIn } from "../screens/signin";
import { Dialog } from "../ui/dialog";
import { ErrorBox } from "../ui/feedback";
import { api, ApiError, unwrap } from "./client";
import type { Session } from "./schema";
import { ended, setToken, token } from "./transport";

const Context = createContext<Session | undefined>(undefined);

/** The session of the present token. */
export function useSession(): Session {
  const s = useContext(Context);
  if (s === undefined) throw new Error("useSession outside of a SessionGate");
  return s;
}

/** Whether the token has a capability. What it may not do is not shown. */
export function useCan(capability: Session["capabilities"][number]): boolean {
  return useSession().capabilities.includes(capability);
}

/** Whether the token is a platform key, which acts for any tenant. */
export function useOperator(): boolean {
  return useSession().kind === "platform";
}

/** Shows the sign-in form until there is a token that the API knows, and then its children. */
export function SessionGate({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  // While a session is open, its end is a dialog over the screen, which keeps what was typed.
  const [session, setSession] = useState<Session>();
  const found = useQuery({
    queryKey: ["session"],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/session", { signal })),
    staleTime: 60_000,
    retry: (n, error) => !(error instanceof ApiError && error.status >= 400 && error.status < 500) && n < 2,
  });
  useEffect(() => {
    if (found.data) {
      setSession(found.data);
      applyTheme(found.data.theme);
    }
  }, [found.data]);

  const signIn = async (t: string) => {
    const next = await unwrap(api.GET("/v1/session", { headers: { Authorization: `Bearer ${t}` } }));
    setToken(t);
    ended.set(undefined);
    // Another tenant's things must not be seen for a moment.
    if (session === undefined || session.kind !== next.kind || session.tenant?.id !== next.tenant?.id) client.clear();
    client.setQueryData(["session"], next);
    setSession(next);
    applyTheme(next.theme);
    await client.invalidateQueries();
  };

  if (session !== undefined) {
    return (
      <Context value={session}>
        {children}
        <SessionEnded signIn={signIn} portal={session.kind === "portal"} />
      </Context>
    );
  }
  const error = found.error;
  if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
    return <SignIn signIn={signIn} refused={token() !== undefined ? error.message : undefined} />;
  }
  if (error) {
    return (
      <div className="signin">
        <ErrorBox error={error} retry={() => void found.refetch()} />
      </div>
    );
  }
  return <div className="signin" aria-busy="true" />;
}

function SessionEnded({ signIn, portal }: { signIn: (t: string) => Promise<void>; portal: boolean }) {
  const reason = useSyncExternalStore(ended.subscribe, ended.get);
  if (reason === undefined) return null;
  return (
    <Dialog title="Your session has ended" open onClose={() => undefined} closable={false}>
      <p>
        {portal
          ? "Open a new link from the application that brought you here, or paste its token. What you typed on this page is kept."
          : "Paste a key to go on. What you typed on this page is kept."}
      </p>
      <p className="muted small">The server says: {reason}</p>
      <TokenForm signIn={signIn} />
    </Dialog>
  );
}

/** A field for a key or token. */
export function TokenForm({ signIn }: { signIn: (t: string) => Promise<void> }) {
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState<string>();
  const [busy, setBusy] = useState(false);
  return (
    <form
      className="stack"
      onSubmit={(e) => {
        e.preventDefault();
        // A pasted link works as well as the token in it.
        const t = (/[#&]token=([^&\s]+)/.exec(typed)?.[1] ?? typed).trim();
        if (t === "") {
          setWrong("Paste an API key or a portal token.");
          return;
        }
        if (!/^[\x21-\x7e]+$/.test(t)) {
          setWrong("A key has no blanks and no special characters: check what you pasted.");
          return;
        }
        setBusy(true);
        signIn(t)
          .catch((error: unknown) => {
            setWrong(error instanceof ApiError && error.status === 401 ? "The server does not know this key, or it is no longer valid." : String((error as Error).message));
          })
          .finally(() => setBusy(false));
      }}
    >
      <div className="field">
        <label htmlFor="token">API key or portal token</label>
        <input
          id="token"
          type="password"
          autoComplete="off"
          spellCheck={false}
          autoFocus
          value={typed}
          aria-invalid={wrong !== undefined}
          aria-describedby={wrong ? "token-wrong" : undefined}
          onChange={(e) => {
            setTyped(e.target.value);
            setWrong(undefined);
          }}
        />
        {wrong && (
          <span className="wrong" id="token-wrong" role="alert">
            {wrong}
          </span>
        )}
      </div>
      <div className="row">
        <button className="button primary" type="submit" disabled={busy}>
          {busy ? "Checking …" : "Sign in"}
        </button>
      </div>
    </form>
  );
}

/** Forgets the token and shows the sign-in form. */
export function signOut(): void {
  setToken(undefined);
  location.assign("/console/");
}
