"""The official OpenAI client (npm package openai) completes, streams, reads usage, logprobs and errors, and an abort of
its stream stops the work upstream."""
import shutil

from fakes import HeldAgent
from harness import *

CASES = ("complete", "stream", "usage", "logprobs", "errors", "models", "unauthorized", "abort")
SCRIPT = os.path.join(HERE, "openai-client")
PLACE = os.path.join(BUILD, "openai-client")  # the package goes into the build folder, not beside the sources


def installed():
    """The folder where the client is installed as the lock file says; done once."""
    os.makedirs(PLACE, exist_ok=True)
    with open(os.path.join(SCRIPT, "package-lock.json")) as f:
        lock = f.read()
    stamp = os.path.join(PLACE, "installed")
    have = open(stamp).read() if os.path.exists(stamp) else None
    for name in ("package.json", "package-lock.json", "test.mjs"):
        shutil.copy(os.path.join(SCRIPT, name), PLACE)
    if have != lock:
        npm = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=PLACE, capture_output=True, text=True)
        if npm.returncode != 0:
            raise Failure("npm ci failed:\n" + npm.stdout + npm.stderr)
        with open(stamp, "w") as f:
            f.write(lock)
    return PLACE


target = shared.node("target")
proxy = shared.proxy(target, [shared.node("draft")], auth_token="s3cret")
TOKEN = {"Authorization": "Bearer s3cret"}
eog = json.dumps({str(i): -100 for i in target.info()["eog"]})


def run(t, name, proxy, **more):
    place = installed()
    model = get(proxy.url + "/v1/models", TOKEN).json()["data"][0]["id"]
    env = dict(os.environ, MODEL=model, TOKEN="s3cret", NO_EOG=eog, **more)
    done = subprocess.run(["node", "test.mjs", name, proxy.url, target.url], cwd=place, env=env,
                          capture_output=True, text=True, timeout=60 * SLOWER)
    t.equal(done.returncode, 0, done.stdout + done.stderr)


def case(name):
    @test(name)
    def _(t):
        run(t, name, proxy)


for name in CASES:
    case(name)


@test("gate: a stream with keep-alive comments")
def _(t):
    text = chat(target.url, "What is 2 + 2?", temperature=0).text
    agent = t.own(HeldAgent(text))
    p = t.proxy(target, auth_token="s3cret", gate={"agents": [{"url": agent.url, "backend": "openai", "name": "held"}]})
    wait_until("the agent", lambda: get(p.url + "/v1/tightwad/status", TOKEN).json()["gate"]["agents"][0]["health"] == "up")
    run(t, "gate", p, AGENT=agent.url, TEXT=text)

main()
