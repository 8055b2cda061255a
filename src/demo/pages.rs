//! The sample site's pages as HTML.

use super::articles::{ARTICLES, Article};

/// The frame around every page; `{title}`, `{main}`, `{request}` and `{time}` are filled in.
const PAGE: &str = include_str!("page.html");

/// What the footer tells of a page's making.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    /// The site's how-many-eth request it was made for.
    pub(super) request: u64,
    /// When, in seconds since the Unix epoch.
    pub(super) at: u64,
}

impl Made {
    fn time(self) -> String {
        format!("{:02}:{:02}:{:02}", self.at / 3_600 % 24, self.at / 60 % 60, self.at % 60)
    }
}

/// A whole page around `main`, which is HTML.
pub(super) fn page(title: &str, main: &str, made: Made) -> String {
    PAGE.replace("{request}", &made.request.to_string())
        .replace("{time}", &made.time())
        .replace("{title}", &escape(title))
        .replace("{main}", main)
}

pub(super) fn front(revisions: &[u32]) -> String {
    let mut main = String::from("<h1>Today</h1>\n<ul class=\"teasers\">\n");
    for (article, revision) in ARTICLES.iter().zip(revisions) {
        main += &format!(
            "<li><h2><a href=\"/articles/{}\">{}</a></h2><p>{}</p></li>\n",
            article.slug,
            title(article, *revision),
            article.lead
        );
    }
    main + "</ul>"
}

pub(super) fn article(article: &Article, revision: u32) -> String {
    let mut main =
        format!("<article>\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n", title(article, revision), article.lead);
    for paragraph in article.paragraphs {
        main += &format!("<p>{paragraph}</p>\n");
    }
    main + "</article>"
}

/// The headline; revised ones say so, to be told apart.
fn title(article: &Article, revision: u32) -> String {
    match revision {
        0 => article.title.to_owned(),
        _ => format!("{} (revision {revision})", article.title),
    }
}

/// The fragment that every page includes.
pub(super) fn user_block(visitor: Option<&str>) -> String {
    match visitor {
        Some(name) => format!("<p class=\"hello\">hello {} · <a href=\"/logout\">log out</a></p>", escape(name)),
        None => "<p class=\"hello\">hello guest · <a href=\"/login\">log in</a></p>".to_owned(),
    }
}

pub(super) fn login(next: &str) -> String {
    format!(
        "<h1>Log in</h1>\n<p>Any name will do. Pages stay in the cache for you as for everybody; only the greeting is \
         yours.</p>\n<form method=\"post\" action=\"/login\"><input type=\"hidden\" name=\"next\" value=\"{}\">\
         <label for=\"name\">Name</label><input id=\"name\" name=\"name\" required maxlength=\"40\" \
         autocomplete=\"username\"><button>Log in</button></form>",
        escape(next)
    )
}

pub(super) fn slow() -> String {
    "<h1>A slow page</h1>\n<p>The site took two seconds for this. Copal keeps it for ten, then serves it for a minute \
     longer while one new one is made.</p>\n<p>Ask for it from several windows at a time: the site is asked once, and \
     all of them get its answer as it comes.</p>"
        .to_owned()
}

pub(super) fn newsroom(visitor: &str, revisions: &[u32]) -> String {
    let mut main = format!(
        "<h1>Newsroom</h1>\n<p>Hello {}. This page is never stored: each view of it is made for you.</p>\n\
         <table><tr><th>Article</th><th>Revision</th><th></th></tr>\n",
        escape(visitor)
    );
    for (article, revision) in ARTICLES.iter().zip(revisions) {
        main += &format!(
            "<tr><td><a href=\"/articles/{slug}\">{}</a></td><td>{revision}</td><td><form class=\"inline\" method=\"post\" \
             action=\"/admin/revise\"><input type=\"hidden\" name=\"article\" value=\"{slug}\"><button>Revise</button>\
             </form></td></tr>\n",
            article.title,
            slug = article.slug
        );
    }
    main + "</table>\n<p class=\"note\">Visitors see an article as it was until it is purged: <code>curl -X PURGE</code> \
            with its address. A CMS does that by itself when somebody publishes.</p>"
}

pub(super) fn not_found() -> String {
    "<h1>Not here</h1>\n<p>There is no such page. <a href=\"/\">The front page</a> has all there is.</p>".to_owned()
}

/// Text as HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_wherever_it_stands() {
        let evil = "<script>\"'&";
        for html in [user_block(Some(evil)), newsroom(evil, &[0; ARTICLES.len()]), login(evil)] {
            assert!(!html.contains("<script>"), "{html}");
            assert!(html.contains("&lt;script&gt;&quot;&#39;&amp;"), "{html}");
        }
    }

    #[test]
    fn a_page_has_no_blanks_left_and_includes_the_user_block() {
        let html = page("Today", &front(&[0, 2, 0, 0]), Made { request: 7, at: 3_661 });
        assert!(!html.contains('{') && html.contains("01:01:01 UTC") && html.contains("<strong>7</strong>"), "{html}");
        assert!(html.contains(r#"<esi:include src="/esi/user" onerror="continue"/>"#));
        assert!(html.contains("(revision 2)"));
    }
}
