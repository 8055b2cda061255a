//! Purges in the words of those who send them: for each row of the table the bytes that a client sends, what it is answered,
//! and what is stored afterwards. Each row is sent by a stranger, too.

#[path = "dialects/rows.rs"]
mod rows;

use copal_testkit::{Answer, Client, ClientResponse};

use crate::front::Front;
use rows::{Page, ROWS, Row};

const PAGES: &str = "rules: [{name: pages, cache: {ttl: 1h, grace: 1h}}]";

impl Row {
    /// Before an origin with the row's pages, all of them stored.
    async fn front(&self, allow: &str) -> Front {
        let (dialects, options) = (self.dialects, self.options);
        let front =
            Front::with_purge(&format!("purge: {{allow: ['{allow}'], dialects: [{dialects}]{options}}}\n{PAGES}"))
                .await;
        for Page(_, path, fields) in self.pages {
            let answer = fields.iter().fold(Answer::ok("page"), |answer, (name, value)| answer.header(name, *value));
            front.origin.on(path, answer);
        }
        for page in self.pages {
            let first = get(&front, page).await;
            assert_eq!(first.status, 200, "{}: {first}", self.id);
            for name in
                ["x-cache-tags", "cache-tags", "xkey", "surrogate-key", "x-magento-tags", "x-ids-involved", "x-site"]
            {
                assert_eq!(first.header(name), None, "{}: {name} reaches the client", self.id);
            }
            assert_eq!(word(&get(&front, page).await), "hit", "{}: {page:?}", self.id);
        }
        front
    }

    fn bytes(&self) -> Vec<u8> {
        let (head, body) = self.sends.iter().copied().partition::<Vec<&str>, _>(|line| !line.starts_with("body:"));
        let head: String = head.into_iter().map(|line| format!("{line}\r\n")).collect();
        let body: String = body.into_iter().map(|line| &line["body:".len()..]).collect();
        format!("{head}\r\n{body}").into_bytes()
    }

    fn closes(&self) -> bool {
        self.sends.contains(&"Connection: close") || self.sends[0].ends_with("HTTP/1.0")
    }

    /// Sends it on a connection of its own.
    async fn send(&self, front: &Front) -> (Client, ClientResponse) {
        let mut client = Client::connect(front.address).await;
        client.send(self.bytes()).await;
        let answer = client.response().await;
        (client, answer)
    }
}

async fn get(front: &Front, Page(host, path, _): &Page) -> ClientResponse {
    front.client().await.get(path).host(host).send().await
}

/// The reason in `Cache-Status`.
fn word(response: &ClientResponse) -> String {
    let status = response.header("cache-status").unwrap_or_default();
    status.rsplit("detail=").next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn each_row_is_answered_and_takes_what_it_names_and_nothing_else() {
    for row in ROWS {
        let front = row.front("127.0.0.0/8").await;
        let asked = front.origin.requests().len();
        let (mut client, answer) = row.send(&front).await;
        assert_eq!(answer.status, row.status, "{}: {answer}", row.id);
        assert!(answer.to_string().contains(row.says), "{}: {answer}", row.id);
        assert_eq!(row.pages.len(), row.after.len(), "{}", row.id);
        for (index, (page, after)) in row.pages.iter().zip(row.after).enumerate() {
            let Page(host, path, _) = page;
            let found = match index {
                // Where the connection is kept, the next request on it is answered.
                0 if !row.closes() => client.get(path).host(host).send().await,
                _ => get(&front, page).await,
            };
            assert_eq!(word(&found), *after, "{}: {page:?}", row.id);
        }
        if row.closes() {
            assert!(client.closed().await.is_empty(), "{}: closed, with nothing behind the answer", row.id);
        }
        for request in &front.origin.requests()[asked..] {
            assert!(request.method == "GET", "{}: {} reached the origin", row.id, request.method);
        }
    }
}

#[tokio::test]
async fn a_stranger_is_refused_as_the_dialect_expects_and_nothing_goes() {
    for row in ROWS.iter().filter(|row| row.refused != 0) {
        let front = row.front("10.0.0.0/8").await;
        let asked = front.origin.requests().len();
        let (_, answer) = row.send(&front).await;
        assert_eq!(answer.status, row.refused, "{}: {answer}", row.id);
        assert_eq!(answer.header("allow").is_some(), row.refused == 405, "{}", row.id);
        for page in row.pages {
            assert_eq!(word(&get(&front, page).await), "hit", "{}: {page:?}", row.id);
        }
        assert_eq!(front.origin.requests().len(), asked, "{}: nothing reached the origin", row.id);
    }
}

/// Every row of the table of clients has at least one row here.
#[test]
fn every_row_of_the_table_is_there() {
    // P14 and the refresh of P15 are requests for pages, P20 stands with P19, P33 is any row over TLS: tests of their own.
    let apart = ["P14", "P33"];
    for number in 1..=33 {
        let id = format!("P{number}");
        let there = ROWS.iter().any(|row| row.id.split([' ', ':']).next() == Some(&*id));
        assert!(there || apart.contains(&&*id), "{id}");
    }
}
