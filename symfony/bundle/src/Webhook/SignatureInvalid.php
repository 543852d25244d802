<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Webhook;

/**
 * The request must not be believed. Answer 401: the gateway keeps the event and tries again later.
 */
final class SignatureInvalid extends \RuntimeException
{
    public const MISSING = 'missing';
    public const INCOMPLETE = 'incomplete';
    public const MALFORMED = 'malformed';
    public const MISMATCH = 'mismatch';
    public const TOO_OLD = 'too_old';
    public const TOO_NEW = 'too_new';
    public const NO_TIMESTAMP = 'no_timestamp';

    /**
     * @param string $word    one of the constants, for logs and metrics
     * @param string $message one sentence without any part of a secret or a signature
     */
    public function __construct(public readonly string $word, string $message)
    {
        parent::__construct($message);
    }
}
