// Asks a service by the client that @hey-api/openapi-ts generated: node ask.js URL
import {
  type ConflictProblem,
  type Developer,
  changeDeveloper,
  createDeveloper,
  createDevelopers,
  listDevelopers,
  readDeveloper,
  ready,
  removeDeveloper,
} from "./client/index.js";
import { client } from "./client/client.gen.js";

declare const process: { argv: string[] };
client.setConfig({ baseUrl: process.argv[2] });

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const bodies = [0, 1, 2].map((n) => ({
  name: `Name ${n}`,
  email: `d${n}@typescript.example.com`,
  specialty: "browsers",
}));

const made = await createDeveloper({ body: bodies[0]! });
check(made.data !== undefined, "created");
const developer: Developer = made.data;
const read = await readDeveloper({ path: { id: developer.id } });
check(read.data?.email === bodies[0]!.email, "read");

const conflict = await createDeveloper({ body: bodies[0]! });
check(conflict.error !== undefined && conflict.response?.status === 409, "a conflict");
const problem: ConflictProblem = conflict.error;
check(problem.constraint === "uq_developers_email", "the constraint of the conflict");

const invalid = await createDeveloper({ body: { ...bodies[0]!, name: "" } });
check(invalid.error !== undefined && "errors" in invalid.error, "an invalid request");
check(invalid.error.errors?.[0]?.field === "body.name", "the field that is not valid");

const counted = await createDevelopers({ body: bodies, query: { on_conflict: "skip" } });
check(counted.data?.inserted === 2 && counted.data.skipped === 1, "many at once");

const seen: string[] = [];
let cursor: string | null | undefined;
do {
  const page = await listDevelopers({ query: { limit: 2, specialty: "browsers", ...(cursor ? { cursor } : {}) } });
  check(page.data !== undefined, "a page");
  seen.push(...page.data.items.map((each) => each.name));
  cursor = page.data.next_cursor;
} while (cursor);
check(seen.join() === "Name 0,Name 1,Name 2", `pages: ${seen}`);

const changed = await changeDeveloper({ path: { id: developer.id }, body: { specialty: "poetry" } });
check(changed.data?.specialty === "poetry" && changed.data.name === "Name 0", "changed");
check((await removeDeveloper({ path: { id: developer.id } })).response?.status === 204, "removed");
const gone = await readDeveloper({ path: { id: developer.id } });
check(gone.error?.status === 404 && gone.error.type === "about:blank", "gone");
check((await ready()).data?.status === "ready", "ready");
console.log("asked");
