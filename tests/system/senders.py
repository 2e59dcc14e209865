"""Asks a model by OpenAI's SDK, LiteLLM and LangChain, as an application does; run in their environment.

`senders.py API_URL MODEL_URL` prints what each answered, as JSON by name.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import litellm
import openai
import pydantic
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from opentelemetry.sdk.trace import TracerProvider

from candor_client import Client, Recorder
from candor_client.adapters.langchain import CandorHandler
from candor_client.adapters.litellm import CandorLogger
from candor_client.adapters.openai import watch
from candor_client.adapters.turns import Turns

LOOK_UP = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": False}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def asked(words: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": words}]


def openai_sync(client: openai.OpenAI) -> dict[str, Any]:
    whole = client.chat.completions.create(
        model="m", messages=asked("whole"), user="ann", metadata={"conversation_id": "c-1"}
    )
    with client.chat.completions.create(model="m", messages=asked("stream"), stream=True) as stream:
        streamed = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    called = client.chat.completions.create(
        model="m", messages=asked("tool"), tools=[TOOL], stream=True
    )
    for _ in called:
        pass
    try:
        client.chat.completions.create(model="m", messages=asked("fail"))
    except openai.BadRequestError:
        return {"whole": whole.choices[0].message.content, "streamed": streamed}
    raise AssertionError("the SDK's own error is the caller's")


async def openai_async(client: openai.AsyncOpenAI) -> dict[str, Any]:
    whole = await client.chat.completions.create(model="m", messages=asked("async whole"))
    stream = await client.chat.completions.create(
        model="m", messages=asked("async stream"), stream=True
    )
    streamed = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    await client.close()
    return {"whole": whole.choices[0].message.content, "streamed": streamed}


class Answer(pydantic.BaseModel):
    words: str


def responses_sync(client: openai.OpenAI) -> dict[str, Any]:
    create = client.responses.create
    whole = create(model="m", input="resp whole", instructions="Be brief.", user="dee", metadata={"conversation_id": "r-1"})  # fmt: skip
    with create(model="m", input=[{"role": "user", "content": "resp stream"}], stream=True) as events:  # fmt: skip
        streamed = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    with client.responses.stream(model="m", input="resp events") as managed:
        managed.until_done()
        managed_text = managed.get_final_response().output_text
    parsed = client.responses.parse(model="m", input="resp parse", text_format=Answer)
    called = create(model="m", input="resp tool", tools=[LOOK_UP])
    result = {"type": "function_call_output", "call_id": called.output[-1].call_id, "output": "42"}
    told = create(
        model="m", input=[result], previous_response_id=called.id, instructions="Be polite."
    )
    create(model="m", input="resp later", background=True)
    raw = client.responses.with_raw_response.create(model="m", input="resp raw").parse()
    try:
        create(model="m", input="fail")
    except openai.BadRequestError:
        return {
            "whole": whole.output_text,
            "streamed": streamed,
            "events": managed_text,
            "parsed": parsed.output_parsed.words,
            "told": told.output_text,
            "raw": raw.output_text,
        }
    raise AssertionError("the SDK's own error is the caller's")


async def responses_async(client: openai.AsyncOpenAI) -> dict[str, Any]:
    create = client.responses.create
    whole = await create(model="m", input="async resp whole", conversation="conv-1")
    events = await create(model="m", input="async resp stream", stream=True)
    streamed = "".join([e.delta async for e in events if e.type == "response.output_text.delta"])
    await client.close()
    return {"whole": whole.output_text, "streamed": streamed}


def lite(model_url: str) -> dict[str, Any]:
    named = {"model": "openai/m", "api_base": model_url, "api_key": "k"}
    whole = litellm.completion(
        messages=asked("lite whole"),
        user="bob",
        metadata={"session_id": "s-1"},
        **named,
    )
    stream = litellm.completion(messages=asked("lite stream"), stream=True, **named)
    streamed = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)

    async def later() -> str:
        answer = await litellm.acompletion(messages=asked("lite async"), **named)
        await asyncio.sleep(2.0)  # its callbacks are called on this loop
        return str(answer.choices[0].message.content)

    return {
        "whole": whole.choices[0].message.content,
        "streamed": streamed,
        "async": asyncio.run(later()),
    }


def chain(model_url: str, turns: Turns) -> dict[str, Any]:
    model = ChatOpenAI(model="m", base_url=model_url, api_key="k")
    told = [SystemMessage("Be brief."), HumanMessage("chain")]
    given = {"callbacks": [CandorHandler(turns)]}
    whole = model.invoke(told, config={**given, "metadata": {"user_id": "cy", "thread_id": "t-1"}})
    parts = [p.content for p in model.stream([HumanMessage("chain stream")], config=given)]
    return {"id": whole.id, "whole": whole.content, "streamed": "".join(map(str, parts))}


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    api_url, model_url = sys.argv[1:]
    found = {}
    with Client(api_url) as api, Recorder(api) as recorder:
        turns = Turns(recorder, assistant="shop")
        tracer = TracerProvider().get_tracer("app")
        with tracer.start_as_current_span("turn") as span:
            watched = watch(openai.OpenAI(base_url=model_url, api_key="k", max_retries=0), turns)
            found["openai"] = openai_sync(watched)
            found["trace"] = {"id": f"{span.get_span_context().trace_id:032x}"}
            found["responses"] = responses_sync(watched)
        again = watch(openai.AsyncOpenAI(base_url=model_url, api_key="k"), turns)
        found["responses async"] = asyncio.run(responses_async(again))
        other = watch(openai.AsyncOpenAI(base_url=model_url, api_key="k"), turns)
        found["openai async"] = asyncio.run(openai_async(other))
        found["langchain"] = chain(model_url, turns)
        litellm.callbacks = [CandorLogger(turns)]
        found["litellm"] = lite(model_url)
        recorder.flush()
        found["recorder"] = {"sent": recorder.sent, "dropped": recorder.dropped}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
