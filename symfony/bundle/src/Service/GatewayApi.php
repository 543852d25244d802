<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Snoke\WsBundle\Exception\GatewayClientError;
use Snoke\WsBundle\Exception\GatewayRefused;
use Snoke\WsBundle\Exception\GatewayServerError;
use Snoke\WsBundle\Exception\GatewayUnreachable;
use Snoke\WsBundle\Exception\PublishFailed;
use Snoke\WsBundle\Json;
use Snoke\WsBundle\Settings\HttpSettings;
use Symfony\Contracts\HttpClient\Exception\TransportExceptionInterface;
use Symfony\Contracts\HttpClient\HttpClientInterface;

/**
 * Speaks with the gateway's HTTP API. The key goes along in a header; no redirect is followed, nothing is repeated.
 *
 * @internal
 */
final class GatewayApi
{
    public function __construct(
        private readonly HttpClientInterface $client,
        public readonly HttpSettings $settings
    ) {
    }

    /**
     * @param array<string, string> $query
     *
     * @return array<array-key, mixed>
     *
     * @throws PublishFailed
     */
    public function get(string $path, array $query = []): array
    {
        return $this->request('GET', $path, ['query' => $query]);
    }

    /**
     * @param array<string, mixed> $document
     *
     * @return array<array-key, mixed>
     *
     * @throws PublishFailed
     */
    public function post(string $path, array $document, ?string $traceparent = null): array
    {
        $headers = ['Content-Type' => 'application/json'];
        if (null !== $traceparent) {
            $headers['traceparent'] = $traceparent;
        }

        return $this->request('POST', $path, ['body' => Json::encode($document), 'headers' => $headers]);
    }

    /**
     * @param array<string, mixed> $options
     *
     * @return array<array-key, mixed>
     */
    private function request(string $method, string $path, array $options): array
    {
        $options['headers'] = ($options['headers'] ?? []) + $this->settings->headers()
            + ['Accept' => 'application/json'];
        $options += [
            'timeout' => $this->settings->timeout,
            'max_duration' => $this->settings->timeout,
            'max_redirects' => 0,
        ];
        try {
            $response = $this->client->request($method, $this->settings->baseUrl . $path, $options);
            $status = $response->getStatusCode();
            $body = $response->getContent(false);
        } catch (TransportExceptionInterface $error) {
            $message = "The gateway does not answer to $method $path: " . $this->harmless($error->getMessage());
            throw new GatewayUnreachable($message, 0, $error);
        }
        if ($status < 200 || $status >= 300) {
            $message = "The gateway answered $method $path with $status" . self::explanation($body);
            throw match (true) {
                $status >= 500 => new GatewayServerError($response, $message),
                $status >= 400 => new GatewayClientError($response, $message),
                default => new GatewayRefused($response, $message),
            };
        }
        try {
            return '' === $body ? [] : Json::decodeObject($body);
        } catch (\UnexpectedValueException $error) {
            $message = "What answered $method $path is not the gateway: {$error->getMessage()}";
            throw new PublishFailed($message, 0, $error);
        }
    }

    /**
     * What the gateway's problem document says; something in between may have answered with anything.
     */
    private static function explanation(string $body): string
    {
        try {
            $detail = Json::decodeObject($body)['detail'] ?? null;
        } catch (\UnexpectedValueException) {
            return '.';
        }

        return \is_string($detail) ? ': ' . mb_substr($detail, 0, 300) : '.';
    }

    /**
     * A password in the base URL must not get into errors.
     */
    private function harmless(string $message): string
    {
        return (string) preg_replace('~//[^/@\s"]*@~', '//', $message);
    }
}
