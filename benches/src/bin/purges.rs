//! How much hits suffer from purges: `purges --server ADDRESS [--rate 10000] [--seconds 2] [--rounds 5]`.
//!
//! The latency of hits is taken at a steady 2,000 a second on 8 connections, while 8 other kept connections send nothing, `rate` GETs of
//! another stored page a second, or `rate` PURGEs of pages that are not asked for. The three take turns, so that whatever else the
//! machine does meets all of them; the GETs show what the load generator itself costs. `peers/purges` starts what it needs.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Connections of each kind.
const CONNECTIONS: usize = 8;
/// Hits a second on each connection.
const HITS: u64 = 250;
/// How often each loading connection writes, and so how many requests it writes at once.
const BEAT: Duration = Duration::from_millis(4);
/// Pages that purges name.
const PAGES: u64 = 50_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Nothing,
    Gets,
    Purges,
}

struct Options {
    server: String,
    rate: u64,
    seconds: u64,
    rounds: usize,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options { server: String::new(), rate: 10_000, seconds: 2, rounds: 5 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--server" => options.server = value,
            "--rate" => options.rate = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            _ => return Err(format!("{word} is not known").into()),
        }
    }
    if options.server.is_empty() { Err("--server is missing".into()) } else { Ok(options) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let loads = [(Load::Nothing, "no load"), (Load::Gets, "GETs"), (Load::Purges, "PURGEs")];
    let mut taken: [Vec<f64>; 3] = Default::default();
    let mut done = [0_u64; 3];
    for _ in 0..options.rounds {
        for (index, (load, _)) in loads.iter().enumerate() {
            let (mut latencies, sent) = round(&options, *load).await?;
            taken[index].append(&mut latencies);
            done[index] += sent;
        }
    }
    let mut table = String::new();
    writeln!(
        table,
        "| while | requests a second | hits measured | mean µs | p50 µs | p90 µs | p99 µs |\n|---|---|---|---|---|---|---|"
    )?;
    let mut figures = Vec::new();
    for ((index, (_, name)), latencies) in loads.iter().enumerate().zip(&mut taken) {
        latencies.sort_by(f64::total_cmp);
        let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default();
        let mean = latencies.iter().sum::<f64>() / latencies.len().max(1) as f64;
        let rate = done[index] / (options.seconds * options.rounds as u64);
        let (p50, p90, p99) = (at(0.5), at(0.9), at(0.99));
        writeln!(table, "| {name} | {rate} | {} | {mean:.0} | {p50:.0} | {p90:.0} | {p99:.0} |", latencies.len())?;
        figures.push([mean, p50, p90, p99]);
    }
    for (name, base) in [("no load", 0), ("GETs", 1)] {
        let ratio = |figure: usize| figures[2][figure] / figures[base][figure];
        writeln!(
            table,
            "PURGEs / {name}: mean {:.2}, p50 {:.2}, p90 {:.2}, p99 {:.2}",
            ratio(0),
            ratio(1),
            ratio(2),
            ratio(3)
        )?;
    }
    std::io::Write::write_all(&mut std::io::stdout(), table.as_bytes())?;
    Ok(())
}

/// Latencies of hits in microseconds, and how many requests the load made.
async fn round(options: &Options, load: Load) -> Result<(Vec<f64>, u64), Box<dyn Error>> {
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut loading = JoinSet::new();
    if load != Load::Nothing {
        for connection in 0..CONNECTIONS {
            let stream = TcpStream::connect(&options.server).await?;
            stream.set_nodelay(true)?;
            let at_once = options.rate * BEAT.as_millis() as u64 / 1_000 / CONNECTIONS as u64;
            let (over, sent) = (Arc::clone(&over), Arc::clone(&sent));
            loading.spawn(async move { press(stream, load, connection as u64, at_once, &over, &sent).await.is_ok() });
        }
    }
    let mut hitting = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(&options.server).await?;
        stream.set_nodelay(true)?;
        hitting.spawn(hit(stream, options.seconds));
    }
    let mut latencies = Vec::new();
    while let Some(one) = hitting.join_next().await {
        latencies.append(&mut one?.map_err(|error| format!("hits failed: {error}"))?);
    }
    over.store(true, Ordering::Relaxed);
    while let Some(whole) = loading.join_next().await {
        if !whole? {
            return Err("the load failed".into());
        }
    }
    Ok((latencies, sent.load(Ordering::Relaxed)))
}

async fn hit(mut stream: TcpStream, seconds: u64) -> std::io::Result<Vec<f64>> {
    let request = b"GET /1k/hit HTTP/1.1\r\nHost: bench.example\r\n\r\n";
    let mut buffer = vec![0; 64 << 10];
    let mut latencies = Vec::new();
    let mut beat = interval(Duration::from_micros(1_000_000 / HITS));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..seconds * HITS {
        beat.tick().await;
        let began = Instant::now();
        stream.write_all(request).await?;
        answers(&mut stream, &mut buffer, 1).await?;
        latencies.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(latencies)
}

async fn press(
    mut stream: TcpStream,
    load: Load,
    connection: u64,
    at_once: u64,
    over: &AtomicBool,
    sent: &AtomicU64,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut number = connection * PAGES / CONNECTIONS as u64;
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = String::new();
    while !over.load(Ordering::Relaxed) {
        beat.tick().await;
        requests.clear();
        for _ in 0..at_once {
            number += 1;
            let page = number % PAGES;
            // Writing to a String cannot fail.
            let _ = match load {
                Load::Purges => write!(requests, "PURGE /1k/{page} HTTP/1.1\r\nHost: bench.example\r\n\r\n"),
                Load::Gets | Load::Nothing => write!(requests, "GET /1k/load HTTP/1.1\r\nHost: bench.example\r\n\r\n"),
            };
        }
        stream.write_all(requests.as_bytes()).await?;
        answers(&mut stream, &mut buffer, at_once).await?;
        sent.fetch_add(at_once, Ordering::Relaxed);
    }
    Ok(())
}

/// Reads so many whole answers; anything but 200 is an error.
async fn answers(stream: &mut TcpStream, buffer: &mut [u8], count: u64) -> std::io::Result<()> {
    let (mut filled, mut start, mut seen) = (0, 0, 0);
    while seen < count {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(std::io::Error::other("closed, or an answer that is too long"));
        }
        filled += read;
        while let Some(length) = whole(&buffer[start..filled])? {
            start += length;
            seen += 1;
        }
    }
    Ok(())
}

/// Bytes of the first answer, when it is all there.
fn whole(bytes: &[u8]) -> std::io::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(std::io::Error::other(head));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let length = end + 4 + length.ok_or_else(|| std::io::Error::other("no length"))?;
    Ok((bytes.len() >= length).then_some(length))
}
