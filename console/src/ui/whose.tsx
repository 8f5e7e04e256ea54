import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";

import { find } from "../api/queries";
import type { FoundThing } from "../api/schema";
import { useScope } from "../lib/scope";
import { ownerIn } from "../lib/whose";
import { Skeleton } from "./feedback";

/**
 * Shows a single thing. Over all tenants the address of a thing must say whose it is, since reading it acts for one tenant.
 * If it does not, as after a search or behind a link, the tenant is looked up and put into the address in its place. A thing
 * that no tenant has is left to the children, whose request says so.
 */
export function Whose({ kind, id, children }: { kind: FoundThing["kind"]; id: string; children: ReactNode }) {
  const { all, one } = useScope();
  const navigate = useNavigate();
  const unknown = all && one === undefined;
  const found = useQuery({ ...find(id), enabled: unknown });
  const of = unknown ? ownerIn(found.data?.items, kind) : undefined;
  useEffect(() => {
    if (of !== undefined) void navigate({ to: ".", search: (s) => ({ ...s, of }), hash: true, replace: true });
  }, [of, navigate]);
  return unknown && (found.isPending || of !== undefined) ? <Skeleton lines={12} /> : children;
}
