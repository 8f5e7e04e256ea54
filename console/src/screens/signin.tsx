import { TokenForm } from "../api/session";
import { Logo } from "../ui/icons";

/** Asks for a key or a token. */
export function SignIn({ signIn, refused }: { signIn: (t: string) => Promise<void>; refused: string | undefined }) {
  return (
    <main className="signin">
      <div className="card">
        <div className="body stack">
          <div className="row">
            <Logo size={28} />
            <h1>Grapnel</h1>
          </div>
          {refused !== undefined && (
            <p className="box warn" role="status">
              The last token no longer works: {refused}
            </p>
          )}
          <TokenForm signIn={signIn} />
          <p className="muted small">
            The key stays in this tab and is forgotten when you close it. Operators use a platform key; customers use an API key of their account, or a link from the
            application that they use.
          </p>
        </div>
      </div>
    </main>
  );
}
