import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { ApiError } from "./api/client";
import { SessionGate } from "./api/session";
import { takeTokenFromAddress } from "./api/transport";
import { startTheme } from "./lib/theme";
import { router } from "./router";

import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/components.css";

takeTokenFromAddress();
startTheme();

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // What the API refuses stays refused; what got no answer is asked again.
      retry: (n, error) => !(error instanceof ApiError && error.status >= 400 && error.status < 500) && n < 2,
      // A local stack answers without a network.
      networkMode: "always",
      staleTime: 2000,
    },
    mutations: { networkMode: "always" },
  },
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <SessionGate>
        <RouterProvider router={router} />
      </SessionGate>
    </QueryClientProvider>
  </StrictMode>,
);
