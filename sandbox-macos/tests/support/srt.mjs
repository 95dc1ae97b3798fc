// Prints the Seatbelt profile that the installed @anthropic-ai/sandbox-runtime makes of the settings in its second argument.
import { execFileSync } from 'node:child_process';

const [, , packageRoot, settings] = process.argv;
const made = await import(`${packageRoot}/dist/sandbox/macos-sandbox-utils.js`);
const line = made.wrapCommandWithSandboxMacOS(JSON.parse(settings));
// The result is a line for a shell, so a shell takes it apart.
const script = `set -- ${line}; while [ "$1" != -p ]; do shift; done; printf %s "$2"`;
process.stdout.write(execFileSync('/bin/sh', ['-c', script]));
