<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Contract;

/**
 * Carries publications to the gateway. Implement it to bring a transport of your own.
 */
interface PublisherInterface
{
    /**
     * Sends one payload to every connection that listens to one of the subjects; each gets it once.
     *
     * When it returns, the gateway or the broker has taken the publication.
     *
     * @param list<string> $subjectKeys whole subjects, such as `user:42`
     * @param mixed        $payload     anything that JSON can say
     *
     * @throws \Snoke\WsBundle\Exception\PublishFailed nobody took it, or nobody said so
     */
    public function publish(array $subjectKeys, mixed $payload): void;
}
