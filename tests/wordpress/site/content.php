<?php
// `php content.php`, in the site's folder after the installer: the users, posts and settings that the tests know.
$_SERVER += ['HTTP_HOST' => 'www.example.test', 'REQUEST_METHOD' => 'GET', 'SERVER_PROTOCOL' => 'HTTP/1.1'];
require __DIR__ . '/wp-load.php';
require ABSPATH . 'wp-admin/includes/admin.php';

function must($done)
{
    if (is_wp_error($done) || !$done) {
        fwrite(STDERR, is_wp_error($done) ? $done->get_error_message() : 'refused');
        exit(1);
    }
    return $done;
}

// name → role, name that pages show; each has the password "NAME-secret" and the address "NAME@mail.example.test".
const USERS = [
    'edwinaquill' => ['editor', 'Edwina Featherstonehaugh'],
    'alicemarch' => ['subscriber', 'Alice Marchbanks'],
    'bobtremaine' => ['subscriber', 'Bob Tremainewright'],
    'carolinus' => ['subscriber', 'Carol Oglethorpe'],
];
foreach (USERS as $name => [$role, $shown]) {
    must(wp_insert_user([
        'user_login' => $name,
        'user_pass' => "$name-secret",
        'user_email' => "$name@mail.example.test",
        'display_name' => $shown,
        'role' => $role,
    ]));
}

foreach ([
    'comment_moderation' => 1,
    'comments_notify' => 0,
    'moderation_notify' => 0,
    'show_comments_cookies_opt_in' => 1,
    'posts_per_page' => 5,
    'rss_use_excerpt' => 0,
] as $option => $value) {
    update_option($option, $value);
}

$news = must(wp_insert_term('News', 'category'))['term_id'];
$letters = must(wp_insert_term('Letters', 'category'))['term_id'];
function write(string $slug, string $text, array $more = []): int
{
    return must(wp_insert_post($more + [
        'post_name' => $slug,
        'post_title' => ucfirst(str_replace('-', ' ', $slug)),
        'post_content' => "<!-- wp:paragraph --><p>$text</p><!-- /wp:paragraph -->",
        'post_status' => 'publish',
        'post_author' => 1,
        'comment_status' => 'open',
    ]));
}
for ($number = 1; $number <= 12; $number++) {
    write("story-$number", "Text of story $number.", ['post_date' => sprintf('2026-01-%02d 12:00:00', $number), 'post_category' => [$number % 2 ? $news : $letters], 'tags_input' => ['tag' . $number % 3]]);
}
write('members-story', 'The protected words are zanzibar-crocus.', ['post_password' => 'open sesame']);
write('poll', 'What do you think?', ['post_type' => 'page']);
write('about', 'About us.', ['post_type' => 'page']);

global $wp_rewrite;
$wp_rewrite->set_permalink_structure('/%postname%/');
// The site makes its rules anew at its next request, when all that has a URL is known under the new structure.
delete_option('rewrite_rules');
