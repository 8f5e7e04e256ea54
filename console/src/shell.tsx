import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState, useSyncExternalStore } from "react";

import { tenants } from "./api/queries";
import { signOut, useCan, useOperator, useSession } from "./api/session";
import { unreachable } from "./api/transport";
import { keyHelp, useKeys } from "./lib/keys";
import { useLive } from "./lib/live";
import { placeOf } from "./lib/lookup";
import { useScope } from "./lib/scope";
import { chooseMode, chosenMode, type Mode } from "./lib/theme";
import { Dialog } from "./ui/dialog";
import { Empty, ErrorBox, Toasts } from "./ui/feedback";
import { Icon, Logo } from "./ui/icons";
import { Menu, Popover } from "./ui/overlay";
import { Time } from "./ui/text";

/** The frame of every screen: navigation, search, the tenant that an operator looks at, and help. */
export function Shell() {
  const session = useSession();
  const operator = useOperator();
  const mayKeys = useCan("keys");
  const scope = useScope();
  const navigate = useNavigate();
  const location = useLocation();
  const [help, setHelp] = useState(false);
  const [open, setOpen] = useState(false);
  const find = useRef<HTMLInputElement>(null);
  const main = useRef<HTMLElement>(null);
  const away = useSyncExternalStore(unreachable.subscribe, unreachable.get);
  useLive(scope.list);
  useEffect(() => setOpen(false), [location.pathname]);
  useKeys({
    "/": () => find.current?.focus(),
    "?": () => setHelp(true),
    "g h": () => void navigate({ to: "/" }),
    "g w": () => void navigate({ to: "/webhooks" }),
    "g d": () => void navigate({ to: "/deliveries" }),
    "g e": () => void navigate({ to: "/events" }),
  });
  return (
    <>
      <a
        className="skip"
        href="#main"
        onClick={(e) => {
          e.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <div className="shell">
        {open && <button type="button" className="nav-veil" aria-label="Close the navigation" onClick={() => setOpen(false)} />}
        <nav className={`nav ${open ? "open" : ""}`} aria-label="Main">
          <Link to="/" className="brand">
            <Logo />
            <span>{session.theme?.logo_text ?? "Grapnel"}</span>
          </Link>
          <Item to="/" icon="home">Home</Item>
          <Item to="/webhooks" icon="webhooks">Webhooks</Item>
          <Item to="/deliveries" icon="deliveries">Deliveries</Item>
          <Item to="/events" icon="events">Events</Item>
          <Item to="/event-types" icon="types">Event types</Item>
          <Item to="/replays" icon="replays">Replays</Item>
          {(operator || mayKeys) && <div className="nav-group">{operator ? "Operate" : "Account"}</div>}
          {operator && <Item to="/tenants" icon="tenants">Tenants</Item>}
          {mayKeys && <Item to="/keys" icon="keys">Keys</Item>}
          {mayKeys && <Item to="/portal-sessions" icon="portal">Portal sessions</Item>}
          {mayKeys && <Item to="/audit-log" icon="audit">Audit log</Item>}
          <div className="foot small muted">
            {session.kind === "portal" && session.expires_at && <Time at={session.expires_at} prefix="Session ends" />}
          </div>
        </nav>
        <header className="topbar">
          <button type="button" className="button icon menu-button" aria-label="Navigation" aria-expanded={open} onClick={() => setOpen(!open)}>
            <Icon name="menu" />
          </button>
          <Find input={find} />
          <div className="grow" />
          {operator && <TenantSwitcher />}
          <Who openHelp={() => setHelp(true)} />
        </header>
        <main className="main" id="main" tabIndex={-1} ref={main}>
          {away && (
            <p className="box warn" role="status" style={{ marginBottom: "var(--s3)" }}>
              The server does not answer. What you see may be old; it is asked again every few seconds.
            </p>
          )}
          <Outlet />
        </main>
      </div>
      <Toasts />
      <Dialog title="Keys" open={help} onClose={() => setHelp(false)}>
        <dl className="facts">
          {keyHelp.map(([key, what]) => (
            <div key={key} style={{ display: "contents" }}>
              <dt><kbd>{key}</kbd></dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      </Dialog>
    </>
  );
}

function Item({ to, icon, children }: { to: "/" | "/webhooks" | "/deliveries" | "/events" | "/event-types" | "/replays" | "/tenants" | "/keys" | "/portal-sessions" | "/audit-log"; icon: string; children: ReactNode }) {
  return (
    <Link to={to} className="item" activeOptions={{ exact: to === "/", includeSearch: false }} activeProps={{ "aria-current": "page" }}>
      <Icon name={icon} />
      {children}
    </Link>
  );
}

function Find({ input }: { input: React.RefObject<HTMLInputElement | null> }) {
  const navigate = useNavigate();
  const [typed, setTyped] = useState("");
  return (
    <form
      className="find"
      role="search"
      aria-label="Everything"
      onSubmit={(e) => {
        e.preventDefault();
        const place = placeOf(typed);
        if (place === undefined) return;
        if (place.to === "/deliveries") void navigate({ to: place.to, search: { reference: place.reference } });
        else void navigate({ to: place.to, params: { id: place.id } });
        setTyped("");
        input.current?.blur();
      }}
    >
      <input
        ref={input}
        type="search"
        aria-label="Find an id or a reference"
        placeholder="Find an id or a reference"
        value={typed}
        spellCheck={false}
        autoComplete="off"
        onChange={(e) => setTyped(e.target.value)}
        onKeyDown={(e) => {
          if (e.key === "Escape") input.current?.blur();
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

/** Chooses the tenant that an operator looks at; it is in the address. */
function TenantSwitcher() {
  const scope = useScope();
  const navigate = useNavigate();
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState("");
  const found = useQuery({ ...tenants({ limit: 20, ...(typed.trim() && { name: typed.trim() }) }), enabled: open || !scope.all });
  const current = found.data?.tenants.find((t) => t.id === scope.list || t.external_id === scope.list);
  const choose = (tenant: string) => {
    setOpen(false);
    // What is open belongs to another tenant: back to the list.
    const to = `/${window.location.pathname.replace(/^\/console\/?/, "").split("/")[0] ?? ""}`;
    void navigate({ to: to as "/", search: { tenant } });
  };
  return (
    <Popover
      label="Tenants"
      open={open}
      onOpenChange={setOpen}
      trigger={
        <button type="button" className="button" title="The tenant that you look at" style={{ maxWidth: 220 }}>
          <Icon name="tenants" />
          <span className="clip">{scope.all ? "All tenants" : (current?.name ?? scope.list)}</span>
          <Icon name="down" size={12} />
        </button>
      }
    >
      <div className="stack tight">
        <input type="search" aria-label="Find a tenant by name" placeholder="Find a tenant by name" value={typed} onChange={(e) => setTyped(e.target.value)} />
        <ErrorBox error={found.error} />
        <ul style={{ maxHeight: 320, overflow: "auto" }}>
          <li>
            <button type="button" className="menu-item button plain" style={{ width: "100%", justifyContent: "flex-start" }} aria-pressed={scope.all} onClick={() => choose("*")}>
              All tenants
            </button>
          </li>
          {found.data?.tenants.map((t) => (
            <li key={t.id}>
              <button type="button" className="menu-item button plain" style={{ width: "100%", justifyContent: "flex-start" }} aria-pressed={t.id === current?.id} onClick={() => choose(t.id)}>
                <span className="clip">{t.name}</span>
                <span className="muted small clip">{t.external_id ?? t.id}</span>
              </button>
            </li>
          ))}
        </ul>
        {found.data?.next_cursor && <span className="muted small">There are more: type a part of the name.</span>}
      </div>
    </Popover>
  );
}

function Who({ openHelp }: { openHelp: () => void }) {
  const session = useSession();
  const [mode, setMode] = useState<Mode>(chosenMode);
  const name = session.tenant?.name ?? session.name ?? (session.kind === "platform" ? "Operator" : "You");
  const pick = (m: Mode) => () => {
    chooseMode(m);
    setMode(m);
  };
  const mark = (m: Mode, word: string) => `${word}${mode === m ? " ✓" : ""}`;
  return (
    <Menu
      label="You"
      trigger={
        <button type="button" className="button plain" aria-label="You, theme and help" title={name} style={{ maxWidth: 280 }}>
          <span className="clip">{name}</span>
          <Icon name="down" size={12} />
        </button>
      }
      actions={[
        { label: mark("system", "Theme: as the system"), run: pick("system") },
        { label: mark("light", "Theme: light"), run: pick("light") },
        { label: mark("dark", "Theme: dark"), run: pick("dark") },
        null,
        { label: "Keyboard", keys: "?", run: openHelp },
        { label: "API reference", run: () => void window.open("/docs/", "_blank", "noopener") },
        null,
        { label: "Sign out", run: signOut },
      ]}
    />
  );
}

export function NotFound() {
  return (
    <Empty title="There is no such page">
      <p>The address may be old or mistyped.</p>
      <Link to="/" className="button">
        Go to Home
      </Link>
    </Empty>
  );
}

/** A screen that failed: also a chunk that could not be loaded, as after an update of the server. */
export function ScreenError({ error }: { error: unknown }) {
  return <ErrorBox error={error} retry={() => window.location.reload()} />;
}
