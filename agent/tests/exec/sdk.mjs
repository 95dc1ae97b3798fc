// The official client, as its documentation has it, with the program that is named: prints what came of it as JSON.
import { Codex } from "@openai/codex-sdk";

const [program, url, directory] = process.argv.slice(2);
const codex = new Codex({
  codexPathOverride: program,
  baseUrl: `${url}/v1`,
  apiKey: "sk-sdk-key",
  config: { model_reasoning_summary: "auto" },
});
const options = { model: "mock-model", workingDirectory: directory, skipGitRepoCheck: true, sandboxMode: "workspace-write", approvalPolicy: "never" };
const out = {};

const thread = codex.startThread(options);
const turn = await thread.run("run it");
out.final = turn.finalResponse;
out.items = turn.items.map((item) => item.type);
out.command = turn.items.find((item) => item.type === "command_execution");
out.usage = turn.usage;
out.thread = thread.id;

const streamed = await codex.startThread(options).runStreamed("run both");
out.events = [];
for await (const event of streamed.events) out.events.push(event.type);

const resumed = codex.resumeThread(thread.id, options);
const second = await resumed.run("hello");
out.resumed = { thread: resumed.id, final: second.finalResponse, usage: second.usage };

const schema = { type: "object", properties: { answer: { type: "number" } }, required: ["answer"], additionalProperties: false };
out.schema = JSON.parse((await codex.startThread(options).run("answer by schema", { outputSchema: schema })).finalResponse);

try {
  await codex.startThread(options).run("no key");
} catch (error) {
  out.refused = String(error.message);
}

const abort = new AbortController();
try {
  const { events } = await codex.startThread(options).runStreamed("wait for it", { signal: abort.signal });
  for await (const event of events) {
    if (event.type === "item.started" && event.item.type === "command_execution") abort.abort();
  }
} catch (error) {
  out.aborted = error.name;
}
console.log(JSON.stringify(out));
