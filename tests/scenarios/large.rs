//! Bodies far larger than what may be stored, through the real binary: they stream, and its memory stays flat.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::process::{Folder, Running};

const MIB: usize = 1 << 20;
/// What the largest stored response may hold; see `CACHE`.
const MAX_BODY: usize = 16 * MIB;
const CACHE: &str = "cache: {memory: 64MiB, max_body: 16MiB}";
/// Beyond what may be stored, this much memory is allowed for eight readers.
const SLACK: usize = 64 * MIB;
const CLIENTS: usize = 8;
/// A test that is stuck fails after this.
const PATIENCE: Duration = Duration::from_secs(60);
/// The body is this block again and again. Its length is a prime, so that no loss of whole buffers goes unseen.
const BLOCK: usize = 65_521;

fn block() -> Vec<u8> {
    (0..BLOCK).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect()
}

/// How the origin tells the length of its body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// In chunks: only the end tells.
    AtTheEnd,
    /// `Content-Length`.
    Before,
}

/// An origin that makes a body of this length out of nothing. In chunks it sends one block and goes on when `go_on` says so.
struct Generator {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Generator {
    fn start(length: usize, told: Told, go_on: mpsc::Receiver<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, go_on) = (Arc::clone(&asked), Arc::new(Mutex::new(go_on)));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (count, go_on) = (Arc::clone(&count), Arc::clone(&go_on));
                thread::spawn(move || serve(connection.unwrap(), length, told, &count, &go_on));
            }
        });
        Self { address, asked }
    }
}

/// Answers one request. The other side may go away at any time, which ends this.
fn serve(connection: TcpStream, length: usize, told: Told, asked: &AtomicUsize, go_on: &Mutex<mpsc::Receiver<()>>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    asked.fetch_add(1, Ordering::Relaxed);
    let mut out = connection;
    let framing = match told {
        Told::AtTheEnd => "transfer-encoding: chunked".to_owned(),
        Told::Before => format!("content-length: {length}"),
    };
    let head = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{framing}\r\nconnection: close\r\n\r\n");
    if out.write_all(head.as_bytes()).is_err() {
        return;
    }
    let block = block();
    let mut left = length;
    while left > 0 {
        let piece = &block[..left.min(BLOCK)];
        let sent = match told {
            Told::Before => out.write_all(piece),
            Told::AtTheEnd => out
                .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                .and_then(|()| out.write_all(piece))
                .and_then(|()| out.write_all(b"\r\n")),
        };
        if sent.is_err() {
            return;
        }
        if left == length && told == Told::AtTheEnd && go_on.lock().unwrap().recv_timeout(PATIENCE).is_err() {
            return;
        }
        left -= piece.len();
    }
    if told == Told::AtTheEnd {
        let _ = out.write_all(b"0\r\n\r\n");
    }
}

/// Reads a whole response as an HTTP/1.0 client does, to the end of the connection; says so when its body has begun. Gives
/// the body's length, and fails where a byte is not what the origin sent.
fn read_whole(address: SocketAddr, begun: &mpsc::Sender<()>) -> usize {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(b"GET /large HTTP/1.0\r\nhost: test.example\r\n\r\n").unwrap();
    let mut reader = BufReader::with_capacity(256 << 10, connection);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.contains(" 200 "), "{line}");
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let block = block();
    let mut read = 0;
    loop {
        let bytes = reader.fill_buf().unwrap();
        if bytes.is_empty() {
            return read;
        }
        if read == 0 {
            begun.send(()).unwrap();
        }
        let from = read % BLOCK;
        let taken = bytes.len().min(BLOCK - from);
        assert!(bytes[..taken] == block[from..from + taken], "a byte near {read} is not the origin's");
        reader.consume(taken);
        read += taken;
    }
}

/// A figure of the process in bytes, from the kernel: `VmRSS` or `VmHWM`, its highest so far.
fn memory(process: u32, figure: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// Eight clients read the same body at the same time. Gives how often the origin was asked and by how many bytes the
/// process has grown at its highest.
fn eight_clients_read(length: usize, told: Told) -> (usize, usize) {
    let (go_on, told_to_go_on) = mpsc::channel();
    let origin = Generator::start(length, told, told_to_go_on);
    let folder = Folder::new(if told == Told::Before { "announced" } else { "unannounced" });
    let config = folder.file(
        "copal.yaml",
        &format!(
            "listen: [{{address: '127.0.0.1:0'}}]\nlog: {{access: off}}\norigins: {{cms: 'http://{}'}}\n{CACHE}\n",
            origin.address
        ),
    );
    let mut copal = Running::start(&config);
    let address = copal.address();
    let before = memory(copal.id(), "VmRSS:");
    let (begun, beginnings) = mpsc::channel();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let begun = begun.clone();
            thread::spawn(move || read_whole(address, &begun))
        })
        .collect();
    for _ in 0..CLIENTS {
        beginnings.recv_timeout(PATIENCE).unwrap();
    }
    // Nobody waits for it where the length was announced.
    let _ = go_on.send(());
    for client in clients {
        assert_eq!(client.join().unwrap(), length, "the whole body");
    }
    (origin.asked.load(Ordering::Relaxed), memory(copal.id(), "VmHWM:").saturating_sub(before))
}

#[test]
fn a_body_of_one_gibibyte_is_fetched_once_and_streamed_to_all_at_flat_memory() {
    let (asked, grown) = eight_clients_read(1 << 30, Told::AtTheEnd);
    assert_eq!(asked, 1, "all read along with one fill");
    assert!(grown < MAX_BODY + SLACK, "grown by {} MiB", grown / MIB);
}

#[test]
fn a_body_announced_as_too_large_to_store_is_passed_to_each_by_itself_at_flat_memory() {
    let (asked, grown) = eight_clients_read(128 * MIB, Told::Before);
    assert_eq!(asked, CLIENTS, "nobody waits for what will not be stored");
    assert!(grown < MAX_BODY + SLACK, "grown by {} MiB", grown / MIB);
}
