// Holds custom resources, a JSON list on stdin, against the schemas that their projects publish. Prints how many it looked
// at; what is wrong goes to stderr, exit code 1. The argument is the folder that has node_modules.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const load = (name) => import(pathToFileURL(`${process.argv[2]}/node_modules/@kubernetes-models/${name}/index.js`));
const monitoring = await load("prometheus-operator/monitoring.coreos.com/v1");
const gateway = await load("gateway-api/gateway.networking.k8s.io/v1");
const known = {
  "monitoring.coreos.com/v1": monitoring,
  "gateway.networking.k8s.io/v1": gateway,
};

let seen = 0;
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const models = known[object.apiVersion];
  if (!models) continue;
  seen += 1;
  try {
    new models[object.kind](object).validate();
  } catch (error) {
    console.error(`${object.kind}: ${error.message}`);
    process.exitCode = 1;
  }
}
console.log(seen);
