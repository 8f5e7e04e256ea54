// Two receivers as Commenda's customers write them, in one process: /raw compares
// the signature of the raw body, /parsed that of JSON.stringify(req.body), as after
// express.json(). It speaks with its parent as momento_receiver.js does, and prints
// the verdict, the path and the event's id.
const crypto = require('crypto'), http = require('http'), readline = require('readline');
let secrets = {};
http.createServer((req, res) => {
  const parts = [];
  req.on('data', (part) => parts.push(part)).on('end', () => {
    const raw = Buffer.concat(parts);
    const body = JSON.parse(raw.toString('utf8'));
    const signed = req.url === '/raw' ? raw : JSON.stringify(body);
    const expected = crypto.createHmac('sha256', secrets[req.url]).update(signed).digest('hex');
    const ok = crypto.timingSafeEqual(Buffer.from(req.headers['commenda-x-secret']), Buffer.from(expected));
    console.log([ok ? 'verified' : 'refused', req.url, body.id].join(' '));
    res.writeHead(ok ? 200 : 401).end();
  });
}).listen(0, '127.0.0.1', function () { console.log('http://127.0.0.1:' + this.address().port); });
readline.createInterface({ input: process.stdin })
  .on('line', (line) => { secrets = JSON.parse(line); console.log('ready'); })
  .on('close', () => process.exit(0));
