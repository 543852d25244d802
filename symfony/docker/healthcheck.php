<?php
// Is Symfony alive? Exit status 0 if so. The image has no curl, and needs none.

declare(strict_types=1);

$answer = @file_get_contents('http://127.0.0.1:' . getenv('APP_PORT') . '/api/ping', false, stream_context_create([
    'http' => ['timeout' => 3, 'ignore_errors' => true],
]));
exit(false !== $answer && true === (json_decode($answer, true)['ok'] ?? null) ? 0 : 1);
