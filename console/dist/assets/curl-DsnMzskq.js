function n(e){return/^[\w@%+=:,./-]+$/.test(e)?e:`'${e.replaceAll("'","'\\''")}'`}const l=new Set(["content-length","host","accept-encoding","connection","transfer-encoding"]);function p(e,t,c){const o=[`curl -i -X POST ${n(e)}`];let r=!1;for(const[a,u]of Object.entries(t))if(!l.has(a.toLowerCase()))for(const i of u)r||=i==="***",o.push(`-H ${n(`${a}: ${i}`)}`);c!==void 0&&o.push(`--data-raw ${n(c)}`);const s=o.join(` \\
  `);return r?`# Put the values of your own headers in place of ***.
${s}`:s}function d(e){return[`curl ${n(`${e}/v1/events`)}`,'-H "Authorization: Bearer $GRAPNEL_KEY"',"-H 'Content-Type: application/json'",`-d ${n('{"type":"user.created","data":{"id":"user_123","email":"john@example.com"},"references":["user_123"]}')}`].join(` \\
  `)}export{p as c,d as p};
