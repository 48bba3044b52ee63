// Decodes Sparkplug B payloads as a stranger would. Each line of stdin is one in hex. Prints one JSON object for each.
const { decodePayload } = require("sparkplug-payload").get("spBv1.0");

const plain = (_key, value) => (value && typeof value === "object" && "low" in value ? Number(value) : value);
require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean).forEach((line) => {
  console.log(JSON.stringify(decodePayload(Buffer.from(line, "hex")), plain));
});
