import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import * as queries from "../api/queries";
import { DeliveryDetails } from "../deliveries/details";
import { useScope } from "../lib/scope";
import { Page } from "../ui/page";
import { DeliveryState } from "../ui/state";
import { Whose } from "../ui/whose";

export { DeliveryDetails };

const route = getRouteApi("/deliveries/$id");

/** One delivery with everything that happened to it. */
export function DeliveryScreen() {
  const { id } = route.useParams();
  return (
    <Whose kind="delivery" id={id}>
      <One id={id} />
    </Whose>
  );
}

function One({ id }: { id: string }) {
  const { one } = useScope();
  const { data: d } = useQuery(queries.delivery(one, id));
  return (
    <Page
      title={d ? `Delivery of ${d.event_type}` : "Delivery"}
      heading={
        <span className="row">
          Delivery {d ? <>of {d.event_type}</> : null} {d ? <DeliveryState delivery={d} /> : null}
        </span>
      }
      crumb={<Link to="/deliveries">Deliveries</Link>}
    >
      <DeliveryDetails id={id} tenant={one} />
    </Page>
  );
}
