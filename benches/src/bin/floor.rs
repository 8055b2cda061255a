//! The two plain servers of the peers harness, on the runtime that Copal uses.
//!
//! `floor --listen ADDRESS --body BYTES` is the bare responder: one read, one write of prepared bytes, no HTTP beyond finding
//! where a request head ends. What it costs is what the sockets and the runtime cost, so it is the floor under every server.
//!
//! `floor --listen ADDRESS --origin` is the origin behind all servers. It looks at the first segment of the path:
//!
//! | path | body | `Cache-Control` |
//! |---|---|---|
//! | `/1k/…`, `/10k/…` | 1 KiB, 10 KiB | `max-age=3600` |
//! | `/12k/…`, `/30k/…` | as long as the pages with 5 and with 50 fragments | `max-age=3600` |
//! | `/pass/…` | 1 KiB | `no-store` |
//! | `/pass/frag` | 410 bytes | `no-store` |
//! | `/esi/page` | 10 KiB of text with five includes of `/esi/frag/N` | `max-age=3600` |
//! | `/esi/page-50` | the same text with fifty includes | `max-age=3600` |
//! | `/esi/page-pass` | 614 bytes of text with an include of `/pass/frag`: a page of 1 KiB | `max-age=3600` |
//! | `/esi/frag/N` | 410 bytes | `max-age=3600` |
//! | any other | none, 404 | `no-store` |

use std::error::Error;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Room for the heads of what arrives in one read; a longer head closes the connection.
const BUFFER_BYTES: usize = 16 * 1024;
/// How many fragments the ESI pages include.
const FEW: usize = 5;
const MANY: usize = 50;
/// The text of the ESI pages without their includes. With five fragments it comes to 12 KiB.
const TEMPLATE_BYTES: usize = 10 * 1024;
const FRAGMENT_BYTES: usize = 410;
/// What pages are made of: markup as often as in a real page, so that a scanner for ESI has something to look at.
const PARAGRAPH: &str = "<p class=\"text\">A caching reverse proxy stands in front of the site, keeps what may be kept, \
    and asks the origin for <a href=\"/more\">the rest</a>.</p>\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let listener = TcpListener::bind(&options.listen).await?;
    let answers = Arc::new(options.answers);
    loop {
        let (stream, _) = listener.accept().await?;
        let answers = Arc::clone(&answers);
        // A client that breaks off is no news, so the outcome of a connection is dropped.
        tokio::spawn(async move { serve(stream, &answers).await });
    }
}

struct Options {
    listen: String,
    answers: Answers,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (mut listen, mut answers) = (None, None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--listen" => listen = words.next(),
                "--body" => {
                    let bytes = words.next().ok_or("--body needs a number of bytes")?.parse()?;
                    answers = Some(Answers::One(response("max-age=3600", &text(bytes))));
                }
                "--origin" => answers = Some(Answers::ByPath(Box::new(Site::new()))),
                other => return Err(format!("unknown argument {other}").into()),
            }
        }
        Ok(Self {
            listen: listen.ok_or("--listen ADDRESS is needed")?,
            answers: answers.ok_or("--body BYTES or --origin is needed")?,
        })
    }
}

/// What is sent for a request head: whole responses, prepared at the start.
enum Answers {
    One(Vec<u8>),
    ByPath(Box<Site>),
}

impl Answers {
    fn to(&self, head: &[u8]) -> &[u8] {
        match self {
            Self::One(response) => response,
            Self::ByPath(site) => site.answer(head),
        }
    }
}

/// The origin's responses.
struct Site {
    small: Vec<u8>,
    large: Vec<u8>,
    like_few: Vec<u8>,
    like_many: Vec<u8>,
    pass: Vec<u8>,
    pass_fragment: Vec<u8>,
    few: Vec<u8>,
    many: Vec<u8>,
    with_pass: Vec<u8>,
    fragment: Vec<u8>,
    missing: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        Self {
            small: response("max-age=3600", &text(1024)),
            large: response("max-age=3600", &text(10 * 1024)),
            like_few: response("max-age=3600", &text(TEMPLATE_BYTES + FEW * FRAGMENT_BYTES)),
            like_many: response("max-age=3600", &text(template_text(MANY) + MANY * FRAGMENT_BYTES)),
            pass: response("no-store", &text(1024)),
            pass_fragment: response("no-store", &text(FRAGMENT_BYTES)),
            few: response("max-age=3600", &template(FEW)),
            many: response("max-age=3600", &template(MANY)),
            with_pass: response("max-age=3600", &template_with_pass()),
            fragment: response("max-age=3600", &text(FRAGMENT_BYTES)),
            missing: b"HTTP/1.1 404 Not Found\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    }

    fn answer(&self, head: &[u8]) -> &[u8] {
        let path = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        // The longer path before one that it begins with.
        let routes: [(&[u8], &[u8]); 10] = [
            (b"/1k/", &self.small),
            (b"/10k/", &self.large),
            (b"/12k/", &self.like_few),
            (b"/30k/", &self.like_many),
            (b"/pass/frag", &self.pass_fragment),
            (b"/pass/", &self.pass),
            (b"/esi/page-50", &self.many),
            (b"/esi/page-pass", &self.with_pass),
            (b"/esi/page", &self.few),
            (b"/esi/frag/", &self.fragment),
        ];
        let found = routes.into_iter().find(|(prefix, _)| path.starts_with(prefix));
        found.map_or(&self.missing, |(_, response)| response)
    }
}

/// A whole HTTP/1.1 response.
fn response(cache_control: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: {cache_control}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Paragraphs, cut off at the given number of bytes.
fn text(bytes: usize) -> String {
    PARAGRAPH.chars().cycle().take(bytes).collect()
}

/// An ESI page: so many includes, each after an equal part of the text.
fn template(includes: usize) -> String {
    let part = text(TEMPLATE_BYTES / includes);
    (1..=includes).map(|number| format!("{part}<esi:include src=\"/esi/frag/{number}\"/>")).collect()
}

/// How much text a page of so many includes has: equal parts.
fn template_text(includes: usize) -> usize {
    TEMPLATE_BYTES / includes * includes
}

/// The ESI page with a fragment that is fetched each time, behind its first paragraph. With it, it comes to 1 KiB.
fn template_with_pass() -> String {
    let rest = 1024 - FRAGMENT_BYTES - PARAGRAPH.len();
    format!("{PARAGRAPH}<esi:include src=\"/pass/frag\"/>{}", text(rest))
}

/// Answers request after request until the client closes.
async fn serve(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut start = 0;
        while let Some(length) = head_length(&buffer[start..filled]) {
            stream.write_all(answers.to(&buffer[start..start + length])).await?;
            start += length;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
}

/// The length of the first request head, the empty line included.
fn head_length(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let start = bytes.windows(END.len()).position(|window| window == END)?;
    Some(start + END.len())
}
