// A server of @copilotkit/aimock that answers by the last message of the person. Prints its address, ends with its standard input.
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ port: 0 });
const usage = { input_tokens: 100, output_tokens: 20, prompt_tokens: 100, completion_tokens: 20 };
const run = (cmd) => ({ name: "exec_command", arguments: JSON.stringify({ cmd }) });

// A command, its result, an end.
mock.on({ userMessage: "run it", hasToolResult: false }, { content: "I run it.", toolCalls: [run("echo out-$((40+2)); exit 3")], usage });
mock.on({ userMessage: "run it", hasToolResult: true }, { content: "It ended with 3.", usage });
// Two at once.
mock.on({ userMessage: "run both", hasToolResult: false }, { toolCalls: [run("echo one"), run("echo two")], usage });
mock.on({ userMessage: "run both", hasToolResult: true }, { content: "Both ran.", usage });
// What cannot be: no such tool; then the turn goes on.
mock.on({ userMessage: "fly", hasToolResult: false }, { toolCalls: [{ name: "fly_away", arguments: "{}" }], usage });
mock.on({ userMessage: "fly", hasToolResult: true }, { content: "I cannot fly.", usage });
// Faults, and then an answer.
const faults = { limited: "rateLimitRate", garbled: "malformedRate", cut: "disconnectRate", dropped: "dropRate" };
for (const [word, rate] of Object.entries(faults)) {
  mock.on({ userMessage: `${word} once`, sequenceIndex: 0 }, { content: "never", usage }, { chaos: { [rate]: 1 } });
  mock.on({ userMessage: `${word} once` }, { content: `after ${word}`, usage });
}
mock.on({ userMessage: "cut in the middle", sequenceIndex: 0 }, { content: "this is cut in the middle of it all", usage }, { chunkSize: 4, truncateAfterChunks: 3 });
mock.on({ userMessage: "cut in the middle" }, { content: "whole", usage });
// Errors that stay.
mock.on({ userMessage: "no key" }, { error: { message: "Incorrect API key provided", type: "invalid_request_error", code: "invalid_api_key" }, status: 401 });
mock.on({ userMessage: "answer by schema" }, { content: '{"answer":42}', usage });
mock.on({ userMessage: "wait for it", hasToolResult: false }, { toolCalls: [run("echo begun; sleep 1000")], usage });
mock.on({ userMessage: "show the environment", hasToolResult: false }, { toolCalls: [run("env")], usage });
mock.on({ userMessage: "show the environment", hasToolResult: true }, { content: "shown", usage });
mock.on({ userMessage: "hello" }, { content: "Hello there.", usage });

await mock.start();
console.log(mock.url);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
