// Google's client for Node, unmodified, against batchsim. Prints what it saw as JSON.
//
//   node genai.mjs URL GS_SOURCE
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GoogleGenAI } from "@google/genai";

const [url, source] = process.argv.slice(2);
const seen = {};

async function admin(path, body) {
  await fetch(`${url}/_sim/${path}`, { method: "POST", body: JSON.stringify(body) });
}

async function names(pager) {
  const found = [];
  for await (const job of pager) found.push(job.name);
  return found;
}

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return error.status;
  }
}

// The Developer API.
{
  const ai = new GoogleGenAI({ apiKey: "a-key", httpOptions: { baseUrl: url } });
  const model = "gemini-3.8-flash";
  const inline = await ai.batches.create({
    model,
    src: [{ contents: "hello", metadata: { key: "k1" } }],
    config: { displayName: "inline" },
  });
  const lines = [0, 1].map((n) =>
    JSON.stringify({ key: `k${n}`, request: { contents: [{ parts: [{ text: `row ${n}` }] }] } }),
  );
  const path = join(tmpdir(), `batchsim-${process.pid}.jsonl`);
  await writeFile(path, lines.join("\n"));
  const file = await ai.files.upload({ file: path, config: { mimeType: "application/jsonl" } });
  const ofFile = await ai.batches.create({ model, src: file.name });
  await admin("clock", { advance_s: 60 });
  const done = await ai.batches.get({ name: inline.name });
  const fileDone = await ai.batches.get({ name: ofFile.name });
  const download = join(tmpdir(), `batchsim-${process.pid}.out.jsonl`);
  await ai.files.download({ file: fileDone.dest.fileName, downloadPath: download });
  // The client returns before the file is complete.
  const { readFile } = await import("node:fs/promises");
  let text = "";
  for (let n = 0; n < 100 && text.split("\n").length < 3; n++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    text = await readFile(download, "utf8").catch(() => "");
  }
  const waiting = await ai.batches.create({ model, src: [{ contents: "x" }] });
  await ai.batches.cancel({ name: waiting.name });
  const cancelled = await ai.batches.get({ name: waiting.name });
  const listed = await names(await ai.batches.list({ config: { pageSize: 1 } }));
  await ai.batches.delete({ name: waiting.name });
  seen.developer = {
    created: inline.state,
    state: done.state,
    answer: done.dest.inlinedResponses[0].response.candidates[0].content.parts[0].text,
    file: text.trim().split("\n").map((line) => JSON.parse(line).key).sort(),
    cancelled: cancelled.state,
    listed: listed.length,
    newest: listed[0] === waiting.name,
    gone: await failure(ai.batches.get({ name: waiting.name })),
  };
}

// Vertex.
{
  const ai = new GoogleGenAI({
    vertexai: true,
    project: "my-project",
    location: "us-central1",
    httpOptions: { baseUrl: url },
    googleAuthOptions: { authClient: { getRequestHeaders: async () => new Headers() } },
  });
  const made = await ai.batches.create({ model: "gemini-3.8-flash", src: source });
  await admin("clock", { advance_s: 60 });
  const done = await ai.batches.get({ name: made.name });
  const waiting = await ai.batches.create({ model: "gemini-3.8-flash", src: source });
  await ai.batches.cancel({ name: waiting.name });
  const cancelled = await ai.batches.get({ name: waiting.name });
  const listed = await names(await ai.batches.list({ config: { pageSize: 1 } }));
  await ai.batches.delete({ name: waiting.name });
  seen.vertex = {
    created: made.state,
    state: done.state,
    directory: done.outputInfo?.gcsOutputDirectory ?? null,
    count: done.completionStats?.successfulCount ?? null,
    cancelled: cancelled.state,
    listed: listed.length,
    newest: listed[0] === waiting.name,
    gone: await failure(ai.batches.get({ name: waiting.name })),
  };
}

console.log(JSON.stringify(seen));
