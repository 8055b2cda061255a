//! The scripted origin: what a test says it answers, what it saw, and how it is waited for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::answer::Answer;
use crate::front::Front;
use crate::patience::patiently;
use crate::request::Request;
use crate::script::Script;

/// An origin in the test's own runtime that answers by a script and records what it saw.
/// Requests without a scripted answer get a 404. Ends when dropped.
#[derive(Debug)]
pub struct ScriptedOrigin {
    address: SocketAddr,
    front: Arc<Front>,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What the origin and its connections have in common.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    script: Mutex<Script>,
    log: Mutex<Log>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Log {
    requests: Vec<Request>,
    accepted: usize,
    open: usize,
}

impl ScriptedOrigin {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts at this address: an origin that comes back after [`stop`](Self::stop), as a new one.
    pub async fn start_at(address: SocketAddr) -> Self {
        Self::start_behind_at(Front::default(), address).await
    }

    /// Starts on a free port of 127.0.0.1, or at its unix socket, and is spoken to in this way.
    pub async fn start_behind(front: Front) -> Self {
        Self::start_behind_at(front, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn start_behind_at(front: Front, mut address: SocketAddr) -> Self {
        let listening = match front.unix_path() {
            Some(path) => UnixListener::bind(path).map(Listener::Unix),
            None => TcpListener::bind(address).await.map(Listener::Tcp),
        };
        let listener = match listening {
            Ok(listener) => listener,
            Err(error) => panic!("the scripted origin cannot listen at {address}, {front:?}: {error}"),
        };
        if let Listener::Tcp(listener) = &listener {
            address = listener.local_addr().unwrap_or(address);
        }
        let (front, shared) = (Arc::new(front), Arc::new(Shared::default()));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, front.clone(), shared.clone(), stopped));
        Self { address, front, shared, running: Mutex::new(Some(Running { stop, task })) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`; `https` where it speaks TLS, and `unix:/PATH` at a unix socket.
    pub fn url(&self) -> String {
        match self.front.unix_path() {
            Some(path) => format!("unix:{}", path.display()),
            None => format!("{}://{}", self.front.scheme(), self.address),
        }
    }

    /// Adds an answer to the queue of a route: `"/path"`, `"METHOD /path"`; `*` at the end stands for any rest; a route
    /// without `?` matches with every query. The most exact route wins. The last answer of a queue repeats.
    pub fn on(&self, route: &str, answer: impl Into<Answer>) {
        self.shared.script.lock().on(route, answer.into());
    }

    /// Like [`on`](Self::on), but forgets what that route had before.
    pub fn replace(&self, route: &str, answer: impl Into<Answer>) {
        self.shared.script.lock().replace(route, answer.into());
    }

    /// The requests seen so far, in the order of their heads; the last ones may not be [complete](Request::complete).
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.lock().requests.clone()
    }

    /// The last request seen. Panics when there was none.
    pub fn last(&self) -> Request {
        match self.shared.log.lock().requests.last() {
            Some(request) => request.clone(),
            None => panic!("the origin saw no request"),
        }
    }

    /// How many requests came for this path (with any query), or for `"METHOD /path"`.
    pub fn count(&self, route: &str) -> usize {
        let (method, path) = match route.split_once(' ') {
            Some((method, path)) => (Some(method), path),
            None => (None, route),
        };
        let log = self.shared.log.lock();
        let wanted =
            |request: &&Request| request.path() == path && method.is_none_or(|method| request.method == method);
        log.requests.iter().filter(wanted).count()
    }

    /// All requests as text, one after the other.
    pub fn transcript(&self) -> String {
        let log = self.shared.log.lock();
        let texts: Vec<String> = log.requests.iter().map(Request::text).collect();
        texts.join("\n")
    }

    /// How many connections it accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.log.lock().accepted
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.log.lock().open
    }

    /// Waits until `count` requests have come in whole since the start.
    pub async fn wait_for(&self, count: usize) {
        let complete = |requests: &[Request]| requests.iter().filter(|it| it.complete).count();
        self.await_log(|| format!("request {count} at the origin"), |log| complete(&log.requests) >= count).await;
    }

    /// Waits until the heads of `count` requests have come in since the start.
    pub async fn wait_for_heads(&self, count: usize) {
        self.await_log(|| format!("the head of request {count} at the origin"), |log| log.requests.len() >= count)
            .await;
    }

    /// Waits until the requests seen so far are as `wanted` says; `what` is for the failure's text. Asked again at every
    /// head, piece of a body and end.
    pub async fn wait_until(&self, what: &str, wanted: impl Fn(&[Request]) -> bool) {
        self.await_log(|| what.to_owned(), |log| wanted(&log.requests)).await;
    }

    /// Waits until exactly `count` connections are open.
    pub async fn wait_for_open_connections(&self, count: usize) {
        self.await_log(|| format!("{count} open connections at the origin"), |log| log.open == count).await;
    }

    /// Closes the port and every connection; afterwards the port refuses. What was recorded stays readable.
    pub async fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(running) = running {
            running.stop.send_replace(true);
            let ended = patiently(|| "the origin to stop".to_owned(), running.task).await;
            if let Err(error) = ended {
                panic!("the scripted origin failed: {error}");
            }
        }
    }

    async fn await_log(&self, what: impl Fn() -> String, wanted: impl Fn(&Log) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        let state = || {
            let log = self.shared.log.lock();
            let seen: Vec<String> = log.requests.iter().map(Request::text).collect();
            format!(
                "{}; it saw {} connections ({} open) and these requests:\n{}",
                what(),
                log.accepted,
                log.open,
                seen.join("\n")
            )
        };
        // The sender lives in `self.shared`: `wait_for` ends only when the log is as wanted.
        let reached = changes.wait_for(|_| wanted(&self.shared.log.lock()));
        let _ = patiently(state, reached).await.map(|_| ());
    }
}

impl Drop for ScriptedOrigin {
    fn drop(&mut self) {
        if let Some(running) = self.running.lock().take() {
            running.task.abort();
        }
        if let Some(path) = self.front.unix_path() {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// An address of 127.0.0.1 at which nobody listens: a connection is refused.
pub async fn refused_address() -> SocketAddr {
    let origin = ScriptedOrigin::start().await;
    origin.stop().await;
    origin.address()
}

/// Where it listens.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

async fn accept(listener: Listener, front: Arc<Front>, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let acceptor = front.acceptor();
    loop {
        tokio::select! {
            serving = listener.accept(&front, acceptor.as_ref(), &shared) => {
                if let Ok(serving) = serving {
                    connections.spawn(serving);
                }
            }
            Some(_) = connections.join_next() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

impl Listener {
    /// The next connection, to be served.
    async fn accept(
        &self,
        front: &Arc<Front>,
        acceptor: Option<&TlsAcceptor>,
        shared: &Arc<Shared>,
    ) -> io::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let (front, acceptor) = (front.clone(), acceptor.cloned());
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                let number = shared.opened();
                Ok(Box::pin(front.serve(acceptor, stream, number, OpenConnection(shared.clone()))))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let number = shared.opened();
                Ok(Box::pin(front.serve(acceptor, stream, number, OpenConnection(shared.clone()))))
            }
        }
    }
}

/// A connection's hold on the origin; dropping it says that the connection has ended.
pub(crate) struct OpenConnection(Arc<Shared>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.change(|log| log.open -= 1);
    }
}

impl OpenConnection {
    /// Records the head of a request and gives its place in the log.
    pub(crate) fn record(&self, request: Request) -> usize {
        self.0.change(|log| {
            log.requests.push(request);
            log.requests.len() - 1
        })
    }

    /// Changes the recorded request at `place`.
    pub(crate) fn amend(&self, place: usize, change: impl FnOnce(&mut Request)) {
        self.0.change(|log| {
            if let Some(request) = log.requests.get_mut(place) {
                change(request);
            }
        });
    }

    /// The request recorded at `place`.
    pub(crate) fn request(&self, place: usize) -> io::Result<Request> {
        let log = self.0.log.lock();
        let request = log.requests.get(place).cloned();
        request.ok_or_else(|| io::Error::other("no such request"))
    }

    /// The script's answer for this request.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let answer = self.0.script.lock().next(request);
        answer.unwrap_or_else(|| Answer::status(404).body("no answer scripted"))
    }
}

impl Shared {
    fn opened(&self) -> usize {
        self.change(|log| {
            log.accepted += 1;
            log.open += 1;
            log.accepted
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let result = change(&mut self.log.lock());
        self.changed.send_modify(|version| *version += 1);
        result
    }
}
