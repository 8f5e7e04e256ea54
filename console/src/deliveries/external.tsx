import { Icon } from "../ui/icons";

/** A link that leaves the console, such as to a workflow in Temporal's Web UI. */
export function External({ href, text }: { href: string; text: string }) {
  return (
    <a className="row tight mono" href={href} target="_blank" rel="noreferrer">
      <span className="wrap">{text}</span>
      <Icon name="external" size={13} />
      <span className="hidden-text">, opens in a new tab</span>
    </a>
  );
}
