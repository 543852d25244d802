<?php

return [
    Symfony\Bundle\FrameworkBundle\FrameworkBundle::class => ['all' => true],
    Snoke\WsBundle\SnokeWsBundle::class => ['all' => true],
];
