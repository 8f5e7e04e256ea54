// The page's own script: the policy lets none run that is written into the page.
window.onload = function () {
  window.ui = SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    persistAuthorization: true,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
    showExtensions: true,
    showCommonExtensions: true,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl, function () {
      return { components: { Topbar: function () { return null; } } };
    }],
    layout: "StandaloneLayout",
  });
};
