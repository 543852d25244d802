<?php

declare(strict_types=1);

use App\Kernel;
use Symfony\Component\ErrorHandler\Debug;
use Symfony\Component\HttpFoundation\Request;

require dirname(__DIR__) . '/config/bootstrap.php';

if ('cli-server' === PHP_SAPI) {
    // `php -S 127.0.0.1:8181 public/index.php`: it is the router of every request, whatever the path looks like.
    $_SERVER['SCRIPT_FILENAME'] = __FILE__;
    $_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = '/index.php';
}
if ('1' === $_SERVER['APP_DEBUG']) {
    Debug::enable();
}
$kernel = new Kernel($_SERVER['APP_ENV'], '1' === $_SERVER['APP_DEBUG']);
$request = Request::createFromGlobals();
$response = $kernel->handle($request);
$response->send();
$kernel->terminate($request, $response);
