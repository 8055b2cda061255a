<?php
// The same pages as the files (see pages.py), each made when it is asked for.
$path = strtok($_SERVER['REQUEST_URI'], '?');
if ($path === '/health') {
    echo "ok\n";
} elseif ($path === '/order') {
    // What must never happen twice.
    file_put_contents($_SERVER['ORDERS'], $_SERVER['REQUEST_METHOD'] . ' ' . $_GET['id'] . "\n", FILE_APPEND | LOCK_EX);
    echo 'URL ', $_SERVER['REQUEST_URI'], "\n";
} elseif (preg_match('#^/(?:page|live)/\d+-(\d+)$#', $path, $found)) {
    $line = hash('sha256', $path) . "\n";
    echo substr("URL $path\n" . str_repeat($line, intdiv($found[1], 65) + 1), 0, (int) $found[1]);
} else {
    http_response_code(404);
}
