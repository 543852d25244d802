"""A whole FastAPI application behind the gateway, in one file: `uvicorn fastapi_app:app`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from ws_gateway.backend import (
    Call,
    Calls,
    Connected,
    Event,
    EventInvalid,
    EventUnknown,
    MessageReceived,
    ReplayWindow,
    SignatureInvalid,
    parse_event,
    verify,
)

SECRETS = [os.environ["WEBHOOK_SECRET"], os.environ.get("WEBHOOK_SECRET_PREVIOUS", "")]
ALLOW_OLDER_FORM = os.environ.get("WEBHOOK_ALLOW_OLDER_FORM") == "1"

gateway = Calls(os.environ["WS_GATEWAY_BASE_URL"], os.environ["WS_GATEWAY_API_KEY"])
handled = ReplayWindow()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One HTTP client for the life of the application."""
    async with httpx.AsyncClient(timeout=5.0) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/internal/ws/events")
async def ws_events(request: Request) -> Response:
    """Take one event from the gateway. The signature is of the raw body, so no model may parse it first."""
    body = await request.body()
    try:
        verify(body, request.headers, SECRETS, require_timestamp=not ALLOW_OLDER_FORM)
        event = parse_event(body)
    except SignatureInvalid as error:
        return JSONResponse({"error": str(error), "reason": error.reason}, status_code=401)
    except EventUnknown:
        return Response(status_code=204)
    except EventInvalid as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    with handled.once(event.event_id) as first:
        if first:
            await handle(event)
    return Response(status_code=204)


async def handle(event: Event) -> None:
    """What the application does. An exception becomes a 500, and the gateway sends the event again."""
    match event:
        case Connected():
            welcome = {"type": "welcome", "user": event.user_id}
            await send(gateway.publish([f"user:{event.user_id}"], welcome))
        case MessageReceived(message={"type": "chat", "text": str(text)}):
            chat = {"type": "chat", "user": event.user_id, "text": text}
            others = [event.connection_id]
            await send(
                gateway.publish(["channel:lobby"], chat, traceparent=event.traceparent, exclude=others)
            )


async def send(call: Call[int]) -> int:
    """Carry out one call to the gateway without blocking.

    :returns: to how many connections it was queued.
    """
    answer = await app.state.client.request(call.method, call.url, headers=call.headers, content=call.body)
    return call.result(answer.status_code, answer.content)
