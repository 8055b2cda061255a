<?php
/*
 * Tells the cache in front what has changed, in the words of the plug-in that `dialect` of settings.json names:
 *
 *   urls          Proxy Cache Purge: a PURGE for each URL
 *   regex         the same after a change to the whole site: one PURGE with a pattern
 *   tags          the same from 5.4 on, where the cache says that it knows tags: a PURGE with a pattern of tags
 *   w3tc          W3 Total Cache: raw HTTP on a connection of its own, read to its end
 *   nginx-helper  rtCamp's Nginx Helper: GET /purge/…
 *   none          nothing is sent
 *
 * These plug-ins are not to be had from a package registry. Here is what they put on the wire, and what they do with the
 * answer; everything else of theirs (screens, settings) is left out. Each purge is a line of purges.jsonl with its answer.
 */

class Purge
{
    private array $urls = [];
    private array $tags = [];

    public function __construct(private array $settings)
    {
        add_action('save_post', [$this, 'post'], 10, 1);
        // Before it is done: what has been thrown away no longer has the URL that visitors know.
        add_action('wp_trash_post', [$this, 'post'], 10, 1);
        add_action('before_delete_post', [$this, 'post'], 10, 1);
        add_action('comment_post', fn($id, $approved) => $approved === 1 && $this->comment($id), 10, 2);
        add_action('edit_comment', [$this, 'comment']);
        add_action('transition_comment_status', fn($new, $old, $comment) => $this->comment($comment->comment_ID), 10, 3);
        add_action('shutdown', [$this, 'send']);
        if ($settings['dialect'] === 'tags' && $this->cache_knows_tags()) {
            add_action('template_redirect', [$this, 'label']);
        }
    }

    private function cache_knows_tags(): bool
    {
        return (bool) preg_match('#\b(cache-)?tags/1\b#', $_SERVER['HTTP_SURROGATE_CAPABILITY'] ?? '');
    }

    /** Labels a page with what it shows, for a cache that knows tags. */
    public function label(): void
    {
        $tags = ['site-' . get_current_blog_id()];
        if (is_front_page() || is_home()) {
            $tags[] = 'home';
        }
        foreach ($GLOBALS['wp_query']->posts as $post) {
            $tags[] = "p-$post->ID";
        }
        header('X-Cache-Tags: ' . implode(',', $tags));
    }

    public function comment($id): void
    {
        $this->post(get_comment($id)->comment_post_ID);
    }

    /** Every URL that a post appears at, as Proxy Cache Purge lists them. */
    public function post($id): void
    {
        if (wp_is_post_autosave($id) || wp_is_post_revision($id)) {
            return;
        }
        $post = get_post($id);
        $this->urls[] = get_permalink($id);
        $this->urls[] = home_url('/');
        $this->urls[] = home_url("/?p=$id");
        $this->urls[] = get_rest_url(null, "/wp/v2/{$post->post_type}s/$id");
        foreach (['category', 'post_tag'] as $taxonomy) {
            foreach (wp_get_post_terms($id, $taxonomy) ?: [] as $term) {
                $this->urls[] = get_term_link($term);
            }
        }
        $this->urls[] = get_author_posts_url($post->post_author);
        foreach (['rss2', 'atom', 'rdf', 'comments_rss2'] as $feed) {
            $this->urls[] = get_feed_link($feed);
        }
        $this->urls[] = get_post_comments_feed_link($id);
        array_push($this->tags, "p-$id", 'home');
    }

    /** At the end of the request, before the visitor's connection is closed. */
    public function send(): void
    {
        if (!$this->urls) {
            return;
        }
        $paths = array_unique(array_map(fn($url) => preg_replace('#^https?://[^/]+#', '', $url), array_filter($this->urls)));
        match ($this->settings['dialect']) {
            'urls' => array_map(fn($path) => $this->request('PURGE', $path, ['X-Purge-Method' => 'default']), $paths),
            'regex' => $this->request('PURGE', '/.*', ['X-Purge-Method' => 'regex']),
            'tags' => $this->request('PURGE', '/', [
                'X-Purge-Method' => 'tags',
                'X-Cache-Tags-Pattern' => implode('|', array_map(fn($tag) => "(^|,)$tag(,|$)", array_unique($this->tags))),
            ]),
            'w3tc' => array_map([$this, 'raw'], [...$paths, '/.*']),
            'nginx-helper' => array_map(fn($path) => $this->request('GET', "/purge$path", []), $paths),
            'none' => null,
        };
    }

    private function request(string $method, string $path, array $headers): void
    {
        $answer = wp_remote_request("http://127.0.0.1:{$this->settings['cache']}$path", [
            'method' => $method,
            'headers' => ['host' => 'www.example.test'] + $headers,
            'sslverify' => false,
            'redirection' => 0,
        ]);
        $this->note($method, $path, is_wp_error($answer) ? $answer->get_error_message() : $answer['response']['code']);
    }

    private function raw(string $path): void
    {
        $socket = fsockopen('127.0.0.1', $this->settings['cache'], $number, $error, 10);
        if (!$socket) {
            $this->note('PURGE', $path, $error);
            return;
        }
        stream_set_timeout($socket, 60);
        fwrite($socket, "PURGE $path HTTP/1.1\r\nHost: www.example.test\r\nUser-Agent: W3TC/2.8.0\r\nConnection: close\r\n\r\n");
        $answer = stream_get_contents($socket);
        $late = stream_get_meta_data($socket)['timed_out'];
        fclose($socket);
        $this->note('PURGE', $path, $late ? 'the connection was not closed' : (int) substr($answer, 9, 3));
    }

    private function note(string $method, string $path, int|string $answer): void
    {
        $line = json_encode(['method' => $method, 'path' => $path, 'answer' => $answer], JSON_UNESCAPED_SLASHES);
        file_put_contents(ABSPATH . 'purges.jsonl', "$line\n", FILE_APPEND | LOCK_EX);
    }
}

new Purge(json_decode(file_get_contents(ABSPATH . 'settings.json'), true));
