<?php
// The site's configuration; what is of one run comes from settings.json beside it.
$run = json_decode(file_get_contents(__DIR__ . '/settings.json'), true);

define('DB_HOST', '127.0.0.1:' . $run['database']);
define('DB_NAME', 'wordpress');
define('DB_USER', 'wordpress');
define('DB_PASSWORD', 'for the test only');
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
$table_prefix = 'wp_';

define('WP_HOME', 'http://www.example.test');
define('WP_SITEURL', 'http://www.example.test');
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $name) {
    define("{$name}_KEY", "for the test only: $name");
    define("{$name}_SALT", "for the test only: $name too");
}

// Nothing outside this machine is asked, and nothing runs by itself.
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('WP_ACCESSIBLE_HOSTS', '127.0.0.1');
define('DISABLE_WP_CRON', true);
define('WP_DEFAULT_THEME', 'twentytwentyone');
define('AUTOMATIC_UPDATER_DISABLED', true);

defined('ABSPATH') || define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
