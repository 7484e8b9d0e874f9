// Hands the document to the viewer. What may be tried is what takes a token and nothing else: the calls that take a
// client secret are left out, as is every way to get a token, because a secret never belongs in a browser.
const viewer = document.querySelector("openapi-explorer");

const triable = (spec) => {
  for (const [path, calls] of Object.entries(spec.paths)) {
    for (const [method, call] of Object.entries(calls)) {
      if (call.security?.some((way) => "access_token" in way)) call.security = [{ access_token: [] }];
      else delete calls[method];
    }
    if (!Object.keys(calls).length) delete spec.paths[path];
  }
  const { access_token } = spec.components.securitySchemes;
  spec.components.securitySchemes = { access_token };
  return { ...spec, servers: [{ url: location.origin }] };
};

const answer = await fetch("/openapi.json");
const spec = await answer.json();
await customElements.whenDefined("openapi-explorer");
await viewer.loadSpec("tryIt" in viewer.dataset ? triable(spec) : spec);
