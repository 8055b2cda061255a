//! Three sides of an exchange: what the client sends, what the origin sees and answers, what the client gets.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::answer::Answer;
use crate::client::Client;
use crate::origin::ScriptedOrigin;
use crate::reply::ClientResponse;
use crate::request::Request;
use crate::send::Sends;

/// Exchanges through the server under test at `front`, before a scripted origin. Every exchange says all three sides;
/// a request that reaches the origin unannounced, or fails to, fails the test.
///
/// ```
/// use copal_testkit::{Answer, Gets, Scenario, ScriptedOrigin, Sees, Sends};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let origin = ScriptedOrigin::start().await;
/// let front = origin.address(); // here: the server under test
/// let mut scenario = Scenario::new(front, &origin);
/// scenario
///     .exchange(
///         "a page comes from the origin",
///         Sends::get("/page").header("cookie", "lang=en"),
///         Sees::get("/page").header("cookie", "lang=en").without("x-trace").answers(Answer::ok("hello")),
///         Gets::status(200).body("hello").without("set-cookie"),
///     )
///     .await;
/// # let page = Sees::get("/page").answers("hello");
/// scenario
///     .exchange("and again", Sends::get("/page"), [page], Gets::status(200).containing("ell"))
///     .await;
/// # }
/// ```
///
/// `Sees::nothing()` is an answer from the cache; an array is a page and its fragments, in any order.
pub struct Scenario<'o> {
    front: SocketAddr,
    origin: &'o ScriptedOrigin,
    host: String,
    clients: HashMap<String, Client>,
    current: String,
}

impl<'o> Scenario<'o> {
    /// Exchanges through `front` before `origin`.
    pub fn new(front: SocketAddr, origin: &'o ScriptedOrigin) -> Self {
        Self { front, origin, host: "test.example".to_owned(), clients: HashMap::new(), current: "client".to_owned() }
    }

    /// The host that new clients ask for.
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// Goes on as this client: each name has its own kept connection.
    pub fn as_client(&mut self, name: &str) -> &mut Self {
        name.clone_into(&mut self.current);
        self
    }

    /// Runs one exchange and checks its three sides; gives what the client got.
    pub async fn exchange(
        &mut self,
        name: &str,
        sends: Sends,
        sees: impl Into<OriginSide>,
        gets: Gets,
    ) -> ClientResponse {
        let sees = sees.into().0;
        for (at, side) in sees.iter().enumerate() {
            let (route, answer) = (side.route(), side.answer.clone().once());
            // What is asked twice is answered in the order given.
            match sees[..at].iter().any(|before| before.route() == route) {
                true => self.origin.on(&route, answer),
                false => self.origin.replace(&route, answer),
            }
        }
        let before = self.origin.requests().len();
        let mut client = match self.clients.remove(&self.current) {
            Some(client) => client,
            None => Client::connect(self.front).await.with_host(&self.host),
        };
        let outcome = client.prepared(sends.clone()).try_send().await;
        if outcome.is_ok() {
            // A refresh in the background may come after the client has its answer.
            self.origin.wait_for(before + sees.len()).await;
        }
        let seen = self.origin.requests().split_off(before);
        let story = || {
            let seen: Vec<String> = seen.iter().map(Request::text).collect();
            let got = match &outcome {
                Ok(response) => response.to_string(),
                Err(error) => error.to_string(),
            };
            format!(
                "\n--- {name}: the client sent\n{}\n--- the origin saw\n{}\n--- the client got\n{got}\n---",
                sends.summary(),
                seen.join("\n"),
            )
        };
        let mut faults = origin_faults(&sees, &seen);
        match &outcome {
            Ok(response) => faults.extend(gets.faults(response)),
            Err(error) => faults.push(format!("the client got no whole response: {error}")),
        }
        if !faults.is_empty() {
            panic!("{}{}", faults.join("\n"), story());
        }
        let response = outcome.unwrap_or_default();
        let closes = response.header("connection").is_some_and(|value| value == "close");
        if !closes && response.status != 101 {
            self.clients.insert(self.current.clone(), client);
        }
        response
    }
}

fn origin_faults(sees: &[Sees], seen: &[Request]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut left: Vec<&Request> = seen.iter().collect();
    for side in sees {
        match left.iter().position(|request| side.is_for(request)) {
            Some(at) => faults.extend(side.faults(left.remove(at))),
            None => faults.push(format!("the origin did not see {}", side.route())),
        }
    }
    for request in left {
        faults.push(format!("the origin saw {} {} unannounced", request.method, request.target));
    }
    faults
}

/// The origin's side of an exchange: each request it must see, with its answer. From one [`Sees`], an array or a list of them.
#[derive(Clone, Debug, Default)]
pub struct OriginSide(Vec<Sees>);

impl From<Sees> for OriginSide {
    fn from(one: Sees) -> Self {
        Self(vec![one])
    }
}

impl<const N: usize> From<[Sees; N]> for OriginSide {
    fn from(some: [Sees; N]) -> Self {
        Self(some.into())
    }
}

impl From<Vec<Sees>> for OriginSide {
    fn from(some: Vec<Sees>) -> Self {
        Self(some)
    }
}

/// A request that the origin must see, and what it answers.
#[derive(Clone, Debug)]
pub struct Sees {
    method: String,
    target: String,
    lines: Lines,
    answer: Answer,
}

impl Sees {
    /// No request at all.
    pub fn nothing() -> OriginSide {
        OriginSide::default()
    }

    /// A request of this method and target (with its query).
    pub fn request(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            lines: Lines::default(),
            answer: Answer::status(200),
        }
    }

    /// A GET of this target.
    pub fn get(target: &str) -> Self {
        Self::request("GET", target)
    }

    /// The request must have this header line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.with(name, value);
        self
    }

    /// The request must have no header line of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.lines.without(name);
        self
    }

    /// The request must have this body.
    pub fn body(mut self, body: &str) -> Self {
        self.lines.body = Some(body.to_owned());
        self
    }

    /// The answer to it.
    pub fn answers(mut self, answer: impl Into<Answer>) -> Self {
        self.answer = answer.into();
        self
    }

    fn route(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    fn is_for(&self, request: &Request) -> bool {
        request.method == self.method && request.target == self.target
    }

    fn faults(&self, request: &Request) -> Vec<String> {
        self.lines.faults("the origin's request", &request.headers, &request.body)
    }
}

/// What the client must get.
#[derive(Clone, Debug)]
pub struct Gets {
    status: u16,
    lines: Lines,
}

impl Gets {
    /// A response of this status.
    pub fn status(status: u16) -> Self {
        Self { status, lines: Lines::default() }
    }

    /// It must have this header line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.with(name, value);
        self
    }

    /// It must have a header line of this name in which `part` occurs.
    pub fn header_containing(mut self, name: &str, part: &str) -> Self {
        self.lines.part(name, part);
        self
    }

    /// It must have no header line of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.lines.without(name);
        self
    }

    /// It must have exactly this body.
    pub fn body(mut self, body: &str) -> Self {
        self.lines.body = Some(body.to_owned());
        self
    }

    /// `part` must occur in its body.
    pub fn containing(mut self, part: &str) -> Self {
        self.lines.parts.push(part.to_owned());
        self
    }

    fn faults(&self, response: &ClientResponse) -> Vec<String> {
        let mut faults = Vec::new();
        if response.status != self.status {
            faults.push(format!("the client got {}, not {}", response.status, self.status));
        }
        faults.extend(self.lines.faults("the client's response", &response.headers, &response.body));
        faults
    }
}

/// What is required of the header lines and the body of a message.
#[derive(Clone, Debug, Default)]
struct Lines {
    headers: Vec<(String, Wanted)>,
    body: Option<String>,
    parts: Vec<String>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Is(String),
    Contains(String),
    Absent,
}

impl Lines {
    fn with(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), Wanted::Is(value.to_owned())));
    }

    fn part(&mut self, name: &str, part: &str) {
        self.headers.push((name.to_owned(), Wanted::Contains(part.to_owned())));
    }

    fn without(&mut self, name: &str) {
        self.headers.push((name.to_owned(), Wanted::Absent));
    }

    fn faults(&self, whose: &str, headers: &[(String, String)], body: &[u8]) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, wanted) in &self.headers {
            let found: Vec<&str> = crate::request::find_all(headers, name).collect();
            let holds = match wanted {
                Wanted::Is(value) => found.contains(&value.as_str()),
                Wanted::Contains(part) => found.iter().any(|value| value.contains(part.as_str())),
                Wanted::Absent => found.is_empty(),
            };
            if !holds {
                faults.push(format!("{whose}: {name} must be {wanted:?}, is {found:?}"));
            }
        }
        let text = String::from_utf8_lossy(body);
        if self.body.as_deref().is_some_and(|wanted| wanted != text) {
            faults.push(format!("{whose}: the body must be {:?}, is {text:?}", self.body));
        }
        for part in self.parts.iter().filter(|part| !text.contains(part.as_str())) {
            faults.push(format!("{whose}: {part:?} must occur in the body {text:?}"));
        }
        faults
    }
}
