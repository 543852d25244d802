<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Event;

/**
 * A client is connected and listening (`connected`).
 */
class WebsocketConnectionEstablishedEvent extends WebsocketEvent
{
}
