<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Command;

use Psr\Log\LoggerInterface;
use Snoke\WsBundle\Consumer\ConsumerLogger;
use Snoke\WsBundle\Consumer\Stop;
use Snoke\WsBundle\Exception\ConfigurationInvalid;
use Snoke\WsBundle\Service\InboxConsumer;
use Snoke\WsBundle\Settings\Settings;
use Symfony\Component\Console\Attribute\AsCommand;
use Symfony\Component\Console\Command\Command;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Input\InputOption;
use Symfony\Component\Console\Output\OutputInterface;

/**
 * `ws:consume`: events from the broker to the application's listeners.
 */
#[AsCommand(name: 'ws:consume', description: 'Reads events of the WebSocket gateway from Redis or RabbitMQ')]
final class WsConsumeCommand extends Command
{
    public function __construct(
        private readonly InboxConsumer $consumer,
        private readonly Settings $settings,
        private readonly ?LoggerInterface $logger = null
    ) {
        parent::__construct();
    }

    protected function configure(): void
    {
        $this
            ->addOption('limit', null, InputOption::VALUE_REQUIRED, 'Stop after this many events')
            ->addOption('time-limit', null, InputOption::VALUE_REQUIRED, 'Stop after this many seconds')
            ->addOption('broker', null, InputOption::VALUE_REQUIRED, 'redis or rabbitmq, where the settings name both')
            ->setHelp(
                'It runs until SIGTERM or SIGINT, and finishes the event in hand. Start as many as you like: they share'
                . " the work.\nOne line of JSON a message goes to the standard error, from WS_CONSUMER_LOG_LEVEL on."
            );
    }

    protected function execute(InputInterface $input, OutputInterface $output): int
    {
        try {
            $stop = new Stop(self::number($input, 'limit'), (float) self::number($input, 'time-limit'));
            $logger = $this->log();
            if (!$stop->listen()) {
                $logger->warning('Without the PHP extension pcntl, SIGTERM ends the process amid an event.');
            }
            $this->consumer->consume((string) $input->getOption('broker'), $stop, $logger);
        } catch (ConfigurationInvalid $error) {
            $output->writeln('ws:consume: ' . $error->getMessage(), OutputInterface::OUTPUT_RAW);

            return self::INVALID;
        } finally {
            isset($stop) && $stop->release();
        }
        $logger->info('Stopped after {events} events.', ['events' => $stop->handled()]);

        return self::SUCCESS;
    }

    private function log(): LoggerInterface
    {
        // Symfony's own logger writes to the standard error as well: everything would stand there twice.
        $elsewhere = $this->logger instanceof \Symfony\Component\HttpKernel\Log\Logger ? null : $this->logger;

        return new ConsumerLogger(
            fopen('php://stderr', 'w') ?: throw new \RuntimeException('The standard error is closed.'),
            $this->settings->consumerLogLevel(),
            $elsewhere
        );
    }

    private static function number(InputInterface $input, string $option): int
    {
        $text = $input->getOption($option) ?? '0';
        if (!ctype_digit((string) $text)) {
            throw new ConfigurationInvalid("--$option is a whole number.");
        }

        return (int) $text;
    }
}
