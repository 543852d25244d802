<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

/**
 * A publication or a disconnect call was not taken, or nobody said that it was.
 */
class PublishFailed extends \RuntimeException
{
}
