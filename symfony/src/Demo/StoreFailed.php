<?php

declare(strict_types=1);

namespace App\Demo;

/**
 * The last message could not be kept or looked at; later it may.
 */
final class StoreFailed extends \RuntimeException
{
}
