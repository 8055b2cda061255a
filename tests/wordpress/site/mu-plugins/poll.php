<?php
/*
 * A careless plug-in, as there are many: it starts a session for every visitor of its page, and puts the session's number
 * into the page. The page says nothing of caches.
 */
add_action('template_redirect', function () {
    if (!is_page('poll')) {
        return;
    }
    session_cache_limiter('');
    session_start(['save_path' => sys_get_temp_dir()]);
    add_filter('the_content', fn($text) => $text . '<p class="ballot">ballot-' . substr(md5(session_id()), 0, 12) . '</p>');
});
