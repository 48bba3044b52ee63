// Reads the daemon's header and a verdict slot as a stranger would, by the offsets in docs/plc.md.
// Usage: read_edge.js PORT SLOT. Prints one JSON object.
const NodeS7 = require("nodes7");

const [port, slot] = process.argv.slice(2).map(Number);
const at = 64 + 64 * slot;
const items = {
  layout_version: "DB101,WORD0",
  status: "DB101,WORD2",
  boot_id: "DB101,DWORD4",
  heartbeat: "DB101,DWORD8",
  plc_boot_id: "DB101,DWORD16",
  last_seq: "DB101,DWORD20",
  recipe_id: "DB101,WORD38",
  seq: `DB101,DWORD${at}`,
  part_seq: `DB101,DWORD${at + 8}`,
  due_count: `DB101,DINT${at + 16}`,
  decision: `DB101,BYTE${at + 20}`,
  reason: `DB101,BYTE${at + 21}`,
  grade: `DB101,CHAR${at + 22}`,
  rejects: `DB101,X${at + 25}.0`,
  area_mm2: `DB101,REAL${at + 28}`,
  max_confidence: `DB101,REAL${at + 32}`,
  trigger_seq: "DB100,DWORD20",
};

const plc = new NodeS7({ silent: true });
plc.initiateConnection({ port, host: "127.0.0.1", rack: 0, slot: 1, timeout: 3000 }, (error) => {
  if (error) {
    console.error(String(error));
    process.exit(1);
  }
  plc.setTranslationCB((name) => items[name]);
  plc.addItems(Object.keys(items));
  plc.readAllItems((bad, values) => {
    if (bad) process.exitCode = 1;
    console.log(JSON.stringify(values));
    plc.dropConnection(() => process.exit());
  });
});
