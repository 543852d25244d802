<?php

declare(strict_types=1);

/*
 * Loads classes: from vendor/ where Composer has been, else from the packages that Debian puts under /usr/share/php.
 */

(static function (): void {
    foreach ([__DIR__ . '/vendor/autoload.php', __DIR__ . '/bundle/vendor/autoload.php'] as $composer) {
        if (is_file($composer)) {
            require_once $composer;
            break;
        }
    }
    if (!class_exists(\Symfony\Bundle\FrameworkBundle\FrameworkBundle::class)) {
        $debian = getenv('PHP_LIBRARY_DIR') ?: '/usr/share/php';
        // The first ones are needed, the others used where they are installed.
        $needed = [
            'Symfony/Bundle/FrameworkBundle', 'Symfony/Component/Console', 'Symfony/Component/EventDispatcher',
            'Symfony/Component/HttpClient',
        ];
        $used = [
            'Symfony/Bundle/TwigBundle', 'Symfony/Bundle/SecurityBundle', 'Symfony/Component/BrowserKit',
            'Symfony/Component/Dotenv', 'Symfony/Component/Runtime', 'Symfony/Component/VarDumper',
            'Symfony/Component/Yaml', 'Predis', 'PhpAmqpLib', 'Monolog', 'Twig',
        ];
        foreach ([...$needed, ...$used] as $at => $library) {
            $file = "$debian/$library/autoload.php";
            if (is_file($file)) {
                require_once $file;
            } elseif ($at < count($needed)) {
                $message = "Neither vendor/ nor $file is there: run composer install in %s, or install Debian's "
                    . 'php-symfony-framework-bundle, php-symfony-http-client and php-symfony-yaml.';
                fwrite(defined('STDERR') ? STDERR : fopen('php://stderr', 'w'), sprintf($message, __DIR__) . "\n");
                exit(1);
            }
        }
    }
    $roots = [
        'Snoke\\WsBundle\\Tests\\' => __DIR__ . '/bundle/tests/',
        'Snoke\\WsBundle\\' => __DIR__ . '/bundle/src/',
        'App\\' => __DIR__ . '/src/',
    ];
    spl_autoload_register(static function (string $class) use ($roots): void {
        foreach ($roots as $prefix => $root) {
            if (str_starts_with($class, $prefix)) {
                $file = $root . strtr(substr($class, strlen($prefix)), '\\', '/') . '.php';
                if (is_file($file)) {
                    require $file;
                }

                return;
            }
        }
    });
})();
