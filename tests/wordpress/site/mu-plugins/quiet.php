<?php
// For a test: no mail leaves, and many visitors from one address may comment at once.
add_filter('pre_wp_mail', '__return_true');
add_filter('comment_flood_filter', '__return_false', 99);
remove_action('check_comment_flood', 'check_comment_flood_db');
