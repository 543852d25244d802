"""A whole Django application behind the gateway, in one file.

Try it with `python django_app.py runserver 8000`. In production any WSGI server takes
`django_app:application`.
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from ws_gateway.backend import (
    Connected,
    Event,
    EventInvalid,
    EventUnknown,
    Gateway,
    MessageReceived,
    ReplayWindow,
    SignatureInvalid,
    parse_event,
    verify,
)

settings.configure(
    ALLOWED_HOSTS=os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(","),
    ROOT_URLCONF=__name__,
)

SECRETS = [os.environ["WEBHOOK_SECRET"], os.environ.get("WEBHOOK_SECRET_PREVIOUS", "")]
ALLOW_OLDER_FORM = os.environ.get("WEBHOOK_ALLOW_OLDER_FORM") == "1"

gateway = Gateway(os.environ["WS_GATEWAY_BASE_URL"], os.environ["WS_GATEWAY_API_KEY"])
handled = ReplayWindow()


@csrf_exempt
@require_POST
def ws_events(request: HttpRequest) -> HttpResponse:
    """Take one event from the gateway."""
    try:
        verify(request.body, request.headers, SECRETS, require_timestamp=not ALLOW_OLDER_FORM)
        event = parse_event(request.body)
    except SignatureInvalid as error:
        return JsonResponse({"error": str(error), "reason": error.reason}, status=401)
    except EventUnknown:
        return HttpResponse(status=204)
    except EventInvalid as error:
        return JsonResponse({"error": str(error)}, status=400)
    with handled.once(event.event_id) as first:
        if first:
            handle(event)
    return HttpResponse(status=204)


def handle(event: Event) -> None:
    """What the application does. An exception becomes a 500, and the gateway sends the event again."""
    match event:
        case Connected():
            gateway.publish([f"user:{event.user_id}"], {"type": "welcome", "user": event.user_id})
        case MessageReceived(message={"type": "chat", "text": str(text)}):
            gateway.publish(
                ["channel:lobby"],
                {"type": "chat", "user": event.user_id, "text": text},
                traceparent=event.traceparent,
                exclude=[event.connection_id],
            )


urlpatterns = [path("internal/ws/events", ws_events)]

application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
