<?php

declare(strict_types=1);

/*
 * Classes and settings, for public/index.php and bin/console: the environment, then the files .env where there are any.
 *
 * Without APP_ENV the application is in prod, so that what is forgotten opens nothing.
 */

use Symfony\Component\Dotenv\Dotenv;

require_once dirname(__DIR__) . '/autoload.php';

(static function (): void {
    // With production's php.ini (variables_order=GPCS) $_ENV is empty, and under Apache $_SERVER has none of it either.
    foreach (getenv() as $name => $value) {
        // Not what a request brings: some servers mix its headers into the environment.
        if (!str_starts_with($name, 'HTTP_')) {
            $_ENV[$name] ??= $value;
            $_SERVER[$name] ??= $value;
        }
    }
    $file = dirname(__DIR__) . '/.env';
    if (is_file($file) && class_exists(Dotenv::class)) {
        (new Dotenv())->bootEnv($file, 'prod');
    }
    $environment = trim($_SERVER['APP_ENV'] ?? '') ?: 'prod';
    $debug = $_SERVER['APP_DEBUG'] ?? '';
    $_SERVER['APP_ENV'] = $_ENV['APP_ENV'] = $environment;
    $_SERVER['APP_DEBUG'] = $_ENV['APP_DEBUG']
        = ('' === $debug ? 'prod' !== $environment : filter_var($debug, FILTER_VALIDATE_BOOL)) ? '1' : '0';
})();
