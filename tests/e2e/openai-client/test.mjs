// The official OpenAI client against a running Tightwad: node test.mjs CASE BASE_URL NODE_URL.
// Ends with 0 when the case holds; says what does not otherwise.
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const [, , name, baseURL, nodeURL] = process.argv;
const client = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: process.env.TOKEN ?? 'unused', maxRetries: 0 });
const ask = (content, more = {}) => ({ messages: [{ role: 'user', content }], model: process.env.MODEL, temperature: 0, ...more });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const counters = async () => (await (await fetch(`${nodeURL}/v1/node`)).json()).counters;

// Every number that grows while the node works for somebody.
const work = async () => {
  const c = await counters();
  return c.decodes + c.tokens + c.generated + c.verified;
};

async function collect(stream) {
  const all = { text: '', finish: null, usage: null, chunks: [] };
  for await (const chunk of stream) {
    all.chunks.push(chunk);
    all.text += chunk.choices[0]?.delta?.content ?? chunk.choices[0]?.text ?? '';
    all.finish = chunk.choices[0]?.finish_reason ?? all.finish;
    all.usage = chunk.usage ?? all.usage;
  }
  return all;
}

const cases = {
  async complete() {
    const a = await client.chat.completions.create(ask('What is 2 + 2?', { max_tokens: 64 }));
    assert.equal(a.object, 'chat.completion');
    assert.equal(a.choices.length, 1);
    assert.equal(a.choices[0].message.role, 'assistant');
    assert.match(a.choices[0].message.content, /4/);
    assert.equal(a.choices[0].finish_reason, 'stop');
    const b = await client.completions.create({ model: process.env.MODEL, prompt: 'One two three', max_tokens: 5, temperature: 0 });
    assert.equal(b.object, 'text_completion');
    assert.equal(b.choices[0].finish_reason, 'length');
    assert.equal(b.usage.completion_tokens, 5);
  },

  async stream() {
    const request = ask('Count from 1 to 9.', { max_tokens: 100 });
    const whole = await client.chat.completions.create(request);
    const streamed = await collect(await client.chat.completions.create({ ...request, stream: true }));
    assert.equal(streamed.text, whole.choices[0].message.content);
    assert.equal(streamed.finish, whole.choices[0].finish_reason);
    assert.equal(streamed.usage, null);
    assert.equal(streamed.chunks[0].choices[0].delta.role, 'assistant');
    assert.equal(new Set(streamed.chunks.map((c) => c.id)).size, 1);
    assert.equal(new Set(streamed.chunks.map((c) => c.created)).size, 1);
    for (const chunk of streamed.chunks) assert.equal(chunk.object, 'chat.completion.chunk');
  },

  async usage() {
    const request = ask('Count from 1 to 9.', { max_tokens: 100 });
    const whole = (await client.chat.completions.create(request)).usage;
    const streamed = await collect(
      await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } }));
    assert.ok(whole.prompt_tokens > 0 && whole.completion_tokens > 0);
    assert.equal(whole.total_tokens, whole.prompt_tokens + whole.completion_tokens);
    assert.equal(streamed.usage.completion_tokens, whole.completion_tokens);
    assert.equal(streamed.usage.prompt_tokens, whole.prompt_tokens);
    const cut = await client.chat.completions.create({ ...request, max_tokens: 3 });
    assert.equal(cut.usage.completion_tokens, 3);
    assert.equal(cut.choices[0].finish_reason, 'length');
  },

  async logprobs() {
    const request = ask('What is 2 + 2?', { max_tokens: 64, logprobs: true, top_logprobs: 3 });
    const whole = await client.chat.completions.create(request);
    const content = whole.choices[0].logprobs.content;
    assert.ok(content.length > 0 && content.length <= whole.usage.completion_tokens);
    const bytes = content.flatMap((t) => t.bytes);
    assert.equal(Buffer.from(bytes).toString('utf8'), whole.choices[0].message.content);
    for (const token of content) {
      assert.ok(token.logprob <= 0);
      assert.equal(token.top_logprobs.length, 3);
      assert.ok(token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob);
      assert.equal(token.top_logprobs[0].token, token.token); // greedy
    }
    const streamed = await collect(await client.chat.completions.create({ ...request, stream: true }));
    const parts = streamed.chunks.flatMap((c) => c.choices[0]?.logprobs?.content ?? []);
    assert.deepEqual(parts.map((t) => t.token), content.map((t) => t.token));
  },

  async errors() {
    const fails = async (request, status, param) => {
      await assert.rejects(client.chat.completions.create(request), (e) => {
        assert.ok(e instanceof OpenAI.APIError, String(e));
        assert.equal(e.status, status);
        assert.ok(e.message.length > 10);
        if (param) assert.equal(e.param, param);
        return true;
      });
    };
    await fails(ask('hi', { model: 'no-such-model' }), 404);
    await fails(ask('hi', { temperature: 'hot' }), 400, 'temperature');
    await fails(ask('hi', { n: 2 }), 400, 'n');
    await fails(ask('hi', { max_tokens: -1 }), 400, 'max_tokens');
    await fails({ model: process.env.MODEL, messages: [] }, 400, 'messages');
    await fails(ask('hi', { tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] }), 400, 'tools');
    await fails(ask('word '.repeat(4000)), 400);
  },

  async unauthorized() {
    const stranger = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: 'wrong', maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
    await assert.rejects(stranger.chat.completions.create(ask('hi')), OpenAI.AuthenticationError);
    assert.ok((await client.models.list()).data.length > 0);
  },

  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.deepEqual(names.slice(1).map((n) => n.split('@').pop()), ['exact', 'target', 'draft']);
    assert.equal((await client.models.retrieve(names[2])).id, names[2]);
    const alone = await client.chat.completions.create(ask('What is 2 + 2?', { model: names[2] }));
    assert.equal(alone.model, names[2]);
    assert.match(alone.choices[0].message.content, /4/);
  },

  // The head comes with the first comment, seconds before the text; the client must not stumble over either.
  async gate() {
    const request = ask('What is 2 + 2?', { model: `${process.env.MODEL}@gate`, max_tokens: 64 });
    const stream = await client.chat.completions.create({ ...request, stream: true });
    await fetch(`${process.env.AGENT}/release`, { method: 'POST' });
    const streamed = await collect(stream);
    assert.equal(streamed.text, process.env.TEXT);
    assert.equal(streamed.finish, 'stop');
    const { mode, exactness, gate, agent } = streamed.chunks.at(-1).tightwad;
    assert.deepEqual({ mode, exactness, gate, agent }, { mode: 'gate', exactness: 'approximate', gate: 'approved', agent: 'held' });
    const { data, response } = await client.chat.completions.create(request).withResponse();
    assert.equal(data.choices[0].message.content, process.env.TEXT);
    assert.equal(response.headers.get('x-tightwad-gate'), 'approved');
    assert.equal(response.headers.get('x-tightwad-exactness'), 'approximate');
  },

  // After an abort no server works for the answer any more, 0.5 s later at most.
  async abort() {
    for (const model of [process.env.MODEL, `${process.env.MODEL}@target`]) {
      const stream = await client.chat.completions.create(
        ask('Tell me a long story.', { model, stream: true, temperature: 1, seed: 5, logit_bias: JSON.parse(process.env.NO_EOG) }));
      let chunks = 0;
      for await (const chunk of stream) {
        if (++chunks === 5) break; // the client aborts the request
      }
      assert.equal(chunks, 5);
      assert.ok(stream.controller.signal.aborted);
      await sleep(500);
      const after = await work();
      await sleep(300);
      assert.equal(await work(), after, `${model}: the node still works after the client went away`);
    }
  },
};

assert.ok(cases[name], `unknown case: one of ${Object.keys(cases).join()}`);
await cases[name]();
