// The page's own script: the policy lets none run that is written into the page.
Scalar.createApiReference("#reference", {
  url: "openapi.json",
  // Nothing comes from, or goes to, another origin.
  withDefaultFonts: false,
  telemetry: false,
  proxyUrl: "",
  showDeveloperTools: "never",
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  // The samples are in the document.
  hiddenClients: true,
  persistAuth: true,
  authentication: { preferredSecurityScheme: "bearer" },
  defaultOpenAllTags: false,
  layout: "modern",
});
