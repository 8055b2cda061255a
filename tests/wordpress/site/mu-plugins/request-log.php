<?php
// What WordPress sees: one JSON line for each request, written before the request is worked on, so that it cannot be
// late when its answer has come. Files that nginx serves by itself are not in it.
if (PHP_SAPI !== 'cli') {
    $line = [
        'method' => $_SERVER['REQUEST_METHOD'],
        'path' => strtok($_SERVER['REQUEST_URI'], '?'),
        'query' => $_SERVER['QUERY_STRING'],
        'host' => $_SERVER['HTTP_HOST'],
        'cookies' => array_keys($_COOKIE),
        'agent' => $_SERVER['HTTP_USER_AGENT'] ?? '',
    ];
    file_put_contents(ABSPATH . 'requests.jsonl', json_encode($line, JSON_UNESCAPED_SLASHES) . "\n", FILE_APPEND | LOCK_EX);
}
