//! A name server that follows a script: hand-made messages (RFC 1035 §4) over UDP and TCP.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::patience::patiently;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
/// The bytes of a header.
const HEADER: usize = 12;

/// A name server in the test's own runtime that answers by a script and counts the questions. Names without a scripted answer do
/// not exist (NXDOMAIN). Ends when dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<HashMap<String, DnsAnswer>>,
    /// The name, lower case and without a dot at its end, and the type.
    questions: watch::Sender<Vec<(String, u16)>>,
}

/// What a [`DnsServer`] says of a name: its addresses of the family that is asked for, or nothing of that family (NODATA).
#[derive(Clone, Debug, Default)]
pub struct DnsAnswer {
    ttl: u32,
    addresses: Vec<IpAddr>,
    alias: Option<String>,
    code: u8,
    truncated: bool,
    silent: Vec<u16>,
    refused: Vec<u16>,
}

impl DnsAnswer {
    /// These addresses, for `ttl` seconds.
    pub fn addresses(ttl: u32, addresses: &[&str]) -> Self {
        let parsed = addresses.iter().map(|text| match text.parse() {
            Ok(address) => address,
            Err(_) => panic!("{text} is no address"),
        });
        Self { ttl, addresses: parsed.collect(), ..Self::default() }
    }

    /// No such name.
    pub fn nx_domain() -> Self {
        Self { code: 3, ..Self::default() }
    }

    /// The server failed.
    pub fn serv_fail() -> Self {
        Self { code: 2, ..Self::default() }
    }

    /// No answer at all.
    pub fn silence() -> Self {
        Self { silent: vec![A, AAAA], ..Self::default() }
    }

    /// The addresses are those of another name, for which this one is an alias.
    #[must_use]
    pub fn alias(mut self, of: &str) -> Self {
        self.alias = Some(of.to_owned());
        self
    }

    /// Over UDP only that the answer does not fit; over TCP all of it.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.truncated = true;
        self
    }

    /// No answer to questions for AAAA.
    #[must_use]
    pub fn silent_on_v6(mut self) -> Self {
        self.silent.push(AAAA);
        self
    }

    /// SERVFAIL to questions for AAAA.
    #[must_use]
    pub fn failing_on_v6(mut self) -> Self {
        self.refused.push(AAAA);
        self
    }
}

impl DnsServer {
    /// Starts on a free port of 127.0.0.1, the same for UDP and TCP.
    pub async fn start() -> Self {
        let (udp, tcp) = match sockets().await {
            Ok(sockets) => sockets,
            Err(error) => panic!("the name server cannot listen: {error}"),
        };
        let address = udp.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(datagrams(udp, shared.clone()));
        tasks.spawn(streams(tcp, shared.clone()));
        Self { address, shared, _tasks: tasks }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says of this name from now on.
    pub fn on(&self, name: &str, answer: DnsAnswer) {
        self.shared.script.lock().insert(plain(name), answer);
    }

    /// How many questions came for this name, those for A and those for AAAA each counted, over UDP and TCP.
    pub fn count(&self, name: &str) -> usize {
        count(&self.shared.questions.borrow(), name)
    }

    /// Every name that was asked for, in order, each once.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (name, _) in self.shared.questions.borrow().iter() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Waits until `wanted` questions have come for this name since the start.
    pub async fn wait_for(&self, name: &str, wanted: usize) {
        let mut questions = self.shared.questions.subscribe();
        let what = || format!("question {wanted} for {name}; there were {:?}", self.shared.questions.borrow());
        let reached = questions.wait_for(|questions| count(questions, name) >= wanted);
        // The sender lives in `self.shared`.
        let _ = patiently(what, reached).await.map(|_| ());
    }
}

fn count(questions: &[(String, u16)], name: &str) -> usize {
    questions.iter().filter(|(asked, _)| *asked == plain(name)).count()
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// A UDP and a TCP socket with the same port.
async fn sockets() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..20 {
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn datagrams(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = shared.answer(&buffer[..length], true) {
            // A client that has gone does not want it.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn streams(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        connections.spawn(async move {
            // The end of a connection is no event for the test.
            let _ = stream_of_messages(stream, &shared).await;
        });
    }
}

/// Messages over TCP have their length before them (RFC 1035 §4.2.2).
async fn stream_of_messages(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    loop {
        let mut message = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut message).await?;
        if let Some(answer) = shared.answer(&message, false) {
            stream.write_u16(u16::try_from(answer.len()).map_err(io::Error::other)?).await?;
            stream.write_all(&answer).await?;
        }
    }
}

impl Shared {
    fn answer(&self, message: &[u8], over_udp: bool) -> Option<Vec<u8>> {
        let (name, kind, end) = question(message)?;
        self.questions.send_modify(|questions| questions.push((name.clone(), kind)));
        let answer = self.script.lock().get(&name).cloned().unwrap_or_else(DnsAnswer::nx_domain);
        if answer.silent.contains(&kind) {
            return None;
        }
        let truncated = answer.truncated && over_udp;
        let code = if answer.refused.contains(&kind) { 2 } else { answer.code };
        let records = if truncated || code != 0 { Vec::new() } else { records(&answer, kind) };
        let mut out = Vec::from(message.get(..2)?);
        // A response (QR), RD as asked, RA; TC where it is truncated.
        out.push(0x80 | (message.get(2)? & 0x01) | if truncated { 0x02 } else { 0 });
        out.push(0x80 | code);
        for count in [1, records.len(), 0, 0] {
            out.extend(u16::try_from(count).ok()?.to_be_bytes());
        }
        out.extend(message.get(HEADER..end)?);
        out.extend(records.concat());
        Some(out)
    }
}

/// The name and the type of the only question, and where it ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
    Some((labels.join("."), kind, at + 4))
}

fn records(answer: &DnsAnswer, kind: u16) -> Vec<Vec<u8>> {
    // A pointer to the name of the question (RFC 1035 §4.1.4).
    let mut owner = vec![0xc0, 0x0c];
    let mut records = Vec::new();
    if let Some(alias) = &answer.alias {
        let target = encoded(alias);
        records.push(record(&owner, CNAME, answer.ttl, &target));
        owner = target;
    }
    for address in &answer.addresses {
        match address {
            IpAddr::V4(address) if kind == A => records.push(record(&owner, A, answer.ttl, &address.octets())),
            IpAddr::V6(address) if kind == AAAA => records.push(record(&owner, AAAA, answer.ttl, &address.octets())),
            _ => {}
        }
    }
    records
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend(kind.to_be_bytes());
    // IN.
    record.extend([0, 1]);
    record.extend(ttl.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    record.extend(data);
    record
}

fn encoded(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in plain(name).split('.') {
        out.push(u8::try_from(label.len()).unwrap_or_default());
        out.extend(label.bytes());
    }
    out.push(0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question for the A records of `cms.test` with the id 7, and recursion desired.
    fn asked() -> Vec<u8> {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(encoded("cms.test"));
        message.extend([0, 1, 0, 1]);
        message
    }

    #[tokio::test]
    async fn a_question_is_answered_byte_by_byte() {
        let server = DnsServer::start().await;
        server.on("CMS.test.", DnsAnswer::addresses(60, &["192.0.2.1", "2001:db8::1"]));
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&asked(), server.address()).await.unwrap();
        let mut answer = vec![0; 512];
        let length = patiently(|| "an answer".to_owned(), socket.recv(&mut answer)).await.unwrap();
        let mut wanted = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        wanted.extend(&asked()[HEADER..]);
        wanted.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        assert_eq!(answer[..length], wanted);
        assert_eq!((server.count("cms.test"), server.names()), (1, vec!["cms.test".to_owned()]));
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let shared = Shared::default();
        for length in 0..asked().len() {
            assert_eq!(shared.answer(&asked()[..length], true), None, "{length}");
        }
        assert_eq!(shared.answer(&asked(), true).unwrap()[3], 0x83);
    }
}
