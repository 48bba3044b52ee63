// Snap7's server (C++) with our two blocks. Usage: s7_server.js PORT. One request a line on stdin, one answer on stdout:
// get DB | set DB AT HEX | drop DB | writes
const readline = require("readline");
const snap7 = require("node-snap7");

const SIZES = { 100: 320, 101: 2112 };
const DATA_WRITE = 0x00040000;

const server = new snap7.S7Server();
const writes = [];
server.SetParam(server.LocalPort, Number(process.argv[2]));
for (const [number, size] of Object.entries(SIZES)) {
  server.RegisterArea(server.srvAreaDB, Number(number), Buffer.alloc(size));
}
server.on("event", (event) => {
  if (event.EvtCode === DATA_WRITE) writes.push([event.EvtParam2, event.EvtParam3, event.EvtParam4]);
});
if (!server.StartTo("127.0.0.1")) {
  console.log(`cannot start: ${server.ErrorText(server.LastError())}`);
  process.exit(1);
}
console.log("ready");

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [what, number, at, bytes] = line.split(" ");
  if (what === "get") {
    console.log(server.GetArea(server.srvAreaDB, Number(number)).toString("hex"));
  } else if (what === "set") {
    const content = server.GetArea(server.srvAreaDB, Number(number));
    Buffer.from(bytes, "hex").copy(content, Number(at));
    server.SetArea(server.srvAreaDB, Number(number), content);
    console.log("done");
  } else if (what === "drop") {
    server.UnregisterArea(server.srvAreaDB, Number(number));
    console.log("done");
  } else if (what === "writes") {
    console.log(JSON.stringify(writes));
  }
}).on("close", () => process.exit(0));
