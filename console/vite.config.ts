import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The stack that `npm run dev` shows: GRAPNEL_URL, by default the address of `task dev`.
const stack = process.env.GRAPNEL_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "/console/",
  plugins: [react()],
  build: {
    target: "es2022",
    // No file becomes a data: URL in a script or style, and no polyfill becomes an inline script: the policy forbids both.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // scripts/budget.mjs reads it.
    manifest: true,
    // The names of chunks end in a hash of their content: the server lets browsers keep them for ever.
    rollupOptions: {
      output: {
        manualChunks(id) {
          return /node_modules\/(react|react-dom|scheduler|@tanstack)\//.test(id) ? "base" : undefined;
        },
      },
    },
  },
  server: { proxy: { "/v1": stack, "/.well-known": stack, "/docs": stack } },
});
