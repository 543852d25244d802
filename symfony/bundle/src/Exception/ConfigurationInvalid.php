<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

/**
 * A setting is missing or cannot be used. The message names it, and never quotes a secret.
 */
class ConfigurationInvalid extends \LogicException
{
}
