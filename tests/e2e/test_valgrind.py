"""tightwad under valgrind: answers, broken requests, a drafter that dies, a reload and an orderly end leave no error and lose no
memory.  (Programs of the private runtime can't be run so; they have the sanitizers.)"""
from harness import *
from malformed import RAW, TEXTS
from prompts import story_prompts

UNDER = ["valgrind", "--quiet", "--error-exitcode=97", "--leak-check=full", "--show-leak-kinds=definite",
         "--errors-for-leak-kinds=definite", "--child-silent-after-fork=yes"]


@test("no error, nothing lost")
def _(t):
    target, drafter = t.node("target"), t.node("draft")
    proxy = t.proxy(target, [drafter], under=UNDER, wait=False)
    proxy.ready(120)
    for i, p in enumerate(story_prompts(4, "valgrind")):
        a = chat(proxy.url, p, stream=i % 2 == 0, temperature=0.7, seed=i, logprobs=True, top_logprobs=2, timeout=120)
        t.check(a.done, a)
    chat(proxy.url, story_prompts(1, 9)[0], stream=True, temperature=0, on_chunk=lambda a: False)
    drafter.kill()
    t.check(chat(proxy.url, story_prompts(1, 9)[0], temperature=0, timeout=120).done, "no answer without the drafter")
    for body in TEXTS.values():
        t.between(post(proxy.url + "/v1/chat/completions", body).status, 400, 499)
    for data in RAW.values():
        raw(proxy.port, data, timeout=3, end_writing=True)
    for path in ("/health", "/v1/models", "/metrics", "/v1/tightwad/status", "/v1/tightwad/history"):
        t.equal(get(proxy.url + path).status, 200, path)
    with Stream(proxy.url + "/v1/tightwad/events") as s:
        next(iter(s.events()))
    proxy.options["max_draft_tokens"] = 4
    proxy.write_config()
    proxy.signal(signal.SIGHUP)
    wait_until("the reload", lambda: proxy.status()["max_draft_tokens"] == 4, 20)
    t.equal(proxy.stop(60), None, "how it ended")
    proxy.expected_end = True
    t.check("==" not in proxy.output, "valgrind's findings:\n" + proxy.tail(60))


main()
