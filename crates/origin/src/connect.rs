//! Establishing a connection: the addresses of a server, one after the other and side by side (RFC 8305), within one limit of time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::error::{Kind, OriginError};
use crate::names::{Name, OnChange};
use crate::resolve::Ask;
use crate::settings::NameSettings;

/// When the next address is tried while the one before is silent (RFC 8305 §5, Connection Attempt Delay).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Of a shorter limit of time, so many addresses get their chance all the same.
const SHARES: u32 = 4;
/// How long an address that could not be connected to comes after the others.
const LAST: Duration = Duration::from_secs(10);

/// Where a server is.
pub(crate) struct Place {
    at: At,
    /// Connections so far: each begins with another address.
    turn: AtomicUsize,
    /// Addresses that could not be connected to, and when.
    failing: Mutex<Vec<(SocketAddr, Instant)>>,
}

enum At {
    /// At a fixed address.
    Address([SocketAddr; 1]),
    /// On this machine, which no name server has to tell (RFC 6761 §6.3). In this order: there is nothing to spread.
    Localhost([SocketAddr; 2]),
    /// At whatever its name resolves to.
    Name(Name),
}

impl Place {
    /// A host as in a URI (RFC 3986 §3.2.2, IPv6 in brackets) and a port. `on_change` hears of a name's addresses.
    pub(crate) fn new(
        host: &str,
        port: u16,
        settings: &NameSettings,
        asked: Arc<dyn Ask>,
        on_change: OnChange,
    ) -> Self {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let at = match literal.unwrap_or(host).parse::<IpAddr>() {
            Ok(address) => At::Address([SocketAddr::new(address, port)]),
            Err(_) if is_localhost(host) => {
                At::Localhost([(Ipv6Addr::LOCALHOST, port).into(), (Ipv4Addr::LOCALHOST, port).into()])
            }
            Err(_) => At::Name(Name::new(host, port, settings, asked, on_change)),
        };
        Self { at, turn: AtomicUsize::new(0), failing: Mutex::default() }
    }

    /// Whether the server is still at this address, as far as is known.
    pub(crate) fn leads_to(&self, peer: SocketAddr) -> bool {
        match &self.at {
            At::Name(name) => {
                let known = name.known();
                known.is_empty() || known.binary_search(&peer).is_ok()
            }
            At::Address(_) | At::Localhost(_) => true,
        }
    }

    /// Its addresses, as far as they are known.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        match &self.at {
            At::Address(address) => address.to_vec(),
            At::Localhost(addresses) => addresses.to_vec(),
            At::Name(name) => name.known().to_vec(),
        }
    }

    /// Begins with what `before` knows of the same name.
    pub(crate) fn adopt(&self, before: &Self) {
        if let (At::Name(name), At::Name(before)) = (&self.at, &before.at) {
            name.adopt(before);
        }
    }

    /// Connects within `limit`, name resolution included.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<TcpStream, OriginError> {
        let began = Instant::now();
        let mut order = match &self.at {
            At::Address([address]) => vec![*address],
            At::Localhost(addresses) => addresses.to_vec(),
            At::Name(name) => {
                let addresses = name.addresses(limit).await?;
                in_turn(&addresses, self.turn.fetch_add(1, Ordering::Relaxed))
            }
        };
        self.put_failing_last(&mut order);
        let connected = self.connect_in_order(&order, limit.saturating_sub(began.elapsed())).await;
        if let (At::Name(name), Err(_)) = (&self.at, &connected) {
            name.doubt();
        }
        connected.map(|(stream, _)| stream)
    }

    async fn connect_in_order(
        &self,
        order: &[SocketAddr],
        limit: Duration,
    ) -> Result<(TcpStream, SocketAddr), OriginError> {
        let mut race = Race::new(order, limit);
        let connected = timeout(limit, &mut race).await;
        // What did not fail but was overtaken, or is still silent at the end, is no better.
        let silent = race.silent();
        let won = connected.as_ref().ok().and_then(|won| won.as_ref().ok()).map(|(_, address)| *address);
        if order.len() > 1 {
            self.remember(race.failed.iter().chain(&silent), won);
        }
        let (stream, address) =
            connected.unwrap_or_else(|_| Err(OriginError::because(Kind::ConnectTimeout, timed_out())))?;
        // Heads and chunks are written whole: waiting to fill a segment only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %address, "cannot set TCP_NODELAY");
        }
        Ok((stream, address))
    }

    fn put_failing_last(&self, order: &mut [SocketAddr]) {
        let mut failing = self.failing();
        failing.retain(|(_, at)| at.elapsed() < LAST);
        // Stable: otherwise the order stays.
        order.sort_by_key(|address| failing.iter().any(|(failed, _)| failed == address));
    }

    fn remember<'a>(&self, failed: impl Iterator<Item = &'a SocketAddr>, won: Option<SocketAddr>) {
        let mut failing = self.failing();
        failing.retain(|(address, _)| Some(*address) != won);
        for failed in failed {
            failing.retain(|(address, _)| address != failed);
            failing.push((*failed, Instant::now()));
        }
    }

    /// A panic elsewhere cannot leave the list half changed.
    fn failing(&self) -> MutexGuard<'_, Vec<(SocketAddr, Instant)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `localhost` and the names below it (RFC 6761 §6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

/// The order in which the addresses are tried at the given turn. Over the turns each is the first equally often; the families
/// alternate (RFC 8305 §4, First Address Family Count 1), so that a family without a way out costs one attempt.
fn in_turn(addresses: &[SocketAddr], turn: usize) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses.iter().partition(|address| address.is_ipv6());
    let all = interleaved(&v6, &v4);
    let Some(first) = all.get(turn % all.len().max(1)) else {
        return all;
    };
    let (mut same, mut other) = if first.is_ipv6() { (v6, v4) } else { (v4, v6) };
    let place = same.iter().position(|address| address == first).unwrap_or_default();
    same.rotate_left(place);
    let place = turn % other.len().max(1);
    other.rotate_left(place);
    interleaved(&same, &other)
}

fn interleaved(first: &[SocketAddr], second: &[SocketAddr]) -> Vec<SocketAddr> {
    let longer = first.len().max(second.len());
    (0..longer).flat_map(|index| [first.get(index), second.get(index)]).flatten().copied().collect()
}

/// Attempts that run side by side; the first to connect wins, and the others end with the race.
struct Race<'a> {
    waiting: std::slice::Iter<'a, SocketAddr>,
    running: Vec<(SocketAddr, Connecting)>,
    failed: Vec<SocketAddr>,
    last: Option<io::Error>,
    delay: Duration,
    next: Option<Pin<Box<Sleep>>>,
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

impl<'a> Race<'a> {
    fn new(order: &'a [SocketAddr], limit: Duration) -> Self {
        let shares = u32::try_from(order.len()).unwrap_or(SHARES).clamp(1, SHARES);
        Self {
            waiting: order.iter(),
            running: Vec::new(),
            failed: Vec::new(),
            last: None,
            delay: ATTEMPT_DELAY.min(limit / shares),
            next: None,
        }
    }

    /// The addresses of attempts that were begun and have neither failed nor won.
    fn silent(&self) -> Vec<SocketAddr> {
        self.running.iter().map(|(address, _)| *address).collect()
    }

    /// Begins the next attempt, if there is one.
    fn begin(&mut self) -> bool {
        let Some(&address) = self.waiting.next() else {
            return false;
        };
        self.running.push((address, Box::pin(TcpStream::connect(address))));
        self.next = (self.waiting.len() > 0).then(|| Box::pin(sleep_until(Instant::now() + self.delay)));
        true
    }

    /// Polls what runs. Attempts that fail are taken out.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<(TcpStream, SocketAddr)> {
        let mut index = 0;
        while let Some((address, connecting)) = self.running.get_mut(index) {
            let address = *address;
            match connecting.as_mut().poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(stream)) => {
                    drop(self.running.swap_remove(index));
                    return Some((stream, address));
                }
                Poll::Ready(Err(error)) => {
                    drop(self.running.swap_remove(index));
                    self.failed.push(address);
                    self.last = Some(error);
                }
            }
        }
        None
    }
}

impl Future for Race<'_> {
    type Output = Result<(TcpStream, SocketAddr), OriginError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let failed_before = self.failed.len();
            if let Some(connected) = self.poll_running(cx) {
                return Poll::Ready(Ok(connected));
            }
            let one_failed = self.failed.len() > failed_before;
            let nobody = self.running.is_empty();
            if nobody && self.waiting.len() == 0 {
                return Poll::Ready(Err(self
                    .last
                    .take()
                    .map_or_else(no_address, |error| OriginError::because(kind_of(&error), error))));
            }
            let in_time =
                nobody || one_failed || self.next.as_mut().is_some_and(|next| next.as_mut().poll(cx).is_ready());
            if !in_time || !self.begin() {
                return Poll::Pending;
            }
        }
    }
}

pub(crate) fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Kind::ConnectRefused,
        io::ErrorKind::TimedOut => Kind::ConnectTimeout,
        _ => Kind::Connect,
    }
}

fn no_address() -> OriginError {
    OriginError::because(Kind::Dns, io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

pub(crate) fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::{Answer, Asking};
    use copal_testkit::{ScriptedOrigin, patiently, refused_address};
    use tokio::net::{TcpListener, TcpSocket};

    /// A name with these addresses, the port of the first.
    struct Fixed(Vec<IpAddr>);

    impl Ask for Fixed {
        fn ask<'a>(&'a self, _: &'a str) -> Asking<'a> {
            let answer = Answer { addresses: self.0.clone(), ttl: Duration::from_secs(60), unknown: None };
            Box::pin(async { Ok(answer) })
        }
    }

    fn place(host: &str, port: u16, addresses: &[&str]) -> Place {
        let asked = Arc::new(Fixed(addresses.iter().map(|text| text.parse().unwrap()).collect()));
        Place::new(host, port, &NameSettings::default(), asked, Box::new(|_| {}))
    }

    fn at(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn hosts_of_uris_rfc3986_3_2_2() {
        for (host, wanted) in [
            ("127.0.0.1", &["127.0.0.1:80"][..]),
            ("[::1]", &["[::1]:80"]),
            ("localhost", &["[::1]:80", "127.0.0.1:80"]),
            ("LocalHost.", &["[::1]:80", "127.0.0.1:80"]),
            ("cms.localhost", &["[::1]:80", "127.0.0.1:80"]),
            // Names, of which nothing is known yet.
            ("cms", &[]),
            ("localhost.example", &[]),
            ("notlocalhost", &[]),
        ] {
            assert_eq!(place(host, 80, &[]).addresses(), at(wanted), "{host}");
        }
    }

    #[test]
    fn families_alternate_rfc8305_4() {
        // Letters are IPv6, digits IPv4.
        let address = |letter: char| match letter.to_digit(10) {
            Some(digit) => SocketAddr::new(Ipv4Addr::new(192, 0, 2, digit as u8).into(), 80),
            None => SocketAddr::new(Ipv6Addr::from(u128::from(u32::from(letter))).into(), 80),
        };
        for (addresses, turns) in [
            ("", &["", ""][..]),
            ("1", &["1", "1"]),
            ("12", &["12", "21", "12"]),
            ("123", &["123", "231", "312", "123"]),
            ("1a", &["a1", "1a", "a1"]),
            ("12ab", &["a1b2", "1b2a", "b1a2", "2b1a", "a1b2"]),
            ("123a", &["a123", "1a23", "2a31", "3a12"]),
            ("1abc", &["a1bc", "1bca", "b1ca", "c1ab"]),
        ] {
            let all: Vec<SocketAddr> = addresses.chars().map(address).collect();
            for (turn, wanted) in turns.iter().enumerate() {
                let wanted: Vec<SocketAddr> = wanted.chars().map(address).collect();
                assert_eq!(in_turn(&all, turn), wanted, "{addresses} at turn {turn}");
            }
        }
    }

    #[test]
    fn each_address_is_the_first_equally_often() {
        let all = at(&["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80", "[2001:db8::1]:80", "[2001:db8::2]:80"]);
        for first in &all {
            let count =
                (usize::MAX - 49..usize::MAX).chain([0]).filter(|turn| in_turn(&all, *turn)[0] == *first).count();
            assert!((9..=11).contains(&count), "{first}: {count}");
        }
    }

    fn kind(result: Result<(TcpStream, SocketAddr), OriginError>) -> Result<SocketAddr, Kind> {
        result.map(|(_, address)| address).map_err(|error| error.kind())
    }

    /// Where it connects to.
    async fn connected(place: &Place) -> SocketAddr {
        place.connect(Duration::from_secs(5)).await.unwrap().peer_addr().unwrap()
    }

    /// Connects to the first of these that can be connected to, within a minute.
    async fn race(place: &Place, order: &[SocketAddr]) -> Result<SocketAddr, Kind> {
        let connecting = place.connect_in_order(order, Duration::from_secs(60));
        kind(patiently(|| "a connection".to_owned(), connecting).await)
    }

    /// A listener that accepts nothing and whose queue is full: further connections stay without an answer.
    async fn deaf() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) = timeout(Duration::from_secs(60), TcpStream::connect(address)).await {
            queued.push(stream);
        }
        (listener, queued, address)
    }

    #[tokio::test]
    async fn every_address_is_tried_and_the_last_failure_told() {
        let (refused, server) = (refused_address().await, ScriptedOrigin::start().await);
        let place = place("cms", 80, &[]);
        assert_eq!(race(&place, &[refused, refused, server.address()]).await, Ok(server.address()));
        assert_eq!(race(&place, &[refused, refused]).await, Err(Kind::ConnectRefused));
        assert_eq!(race(&place, &[]).await, Err(Kind::Dns));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_holds_the_next_up_for_a_quarter_of_a_second_rfc8305_5() {
        let (server, refused) = (ScriptedOrigin::start().await, refused_address().await);
        let ((_l1, _q1, deaf), (_l2, _q2, also_deaf)) = (deaf().await, deaf().await);
        let place = place("cms", 80, &[]);
        for (order, millis) in [
            (&[server.address(), deaf][..], 0),
            (&[deaf, server.address()], 250),
            (&[deaf, also_deaf, server.address()], 500),
            // A failure is followed at once.
            (&[deaf, refused, server.address()], 250),
        ] {
            let began = Instant::now();
            assert_eq!(race(&place, order).await, Ok(server.address()));
            let took = began.elapsed().as_millis();
            assert!((millis..millis + 50).contains(&took), "{order:?} took {took} ms");
        }
        assert_eq!(race(&place, &[deaf, also_deaf]).await, Err(Kind::ConnectTimeout));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_limit_is_shared() {
        let server = ScriptedOrigin::start().await;
        let (_listener, _queued, deaf) = deaf().await;
        let place = place("cms", 80, &[]);
        let connected = place.connect_in_order(&[deaf, server.address()], Duration::from_millis(100)).await;
        assert_eq!(kind(connected), Ok(server.address()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_failed_comes_last_for_some_seconds() {
        // Addresses that no other test listens at: the port is free at both.
        let back = ScriptedOrigin::start_at("127.77.1.1:0".parse().unwrap()).await;
        let (first, port) = (back.address(), back.address().port());
        let server = ScriptedOrigin::start_at(SocketAddr::from(([127, 77, 1, 2], port))).await;
        back.stop().await;
        let place = place("cms", port, &["127.77.1.1", "127.77.1.2"]);
        for _ in 0..4 {
            assert_eq!(connected(&place).await, server.address());
        }
        // It was asked once, in the first turn, and fails no longer.
        let back = ScriptedOrigin::start_at(first).await;
        assert_eq!(place.addresses(), [first, server.address()]);
        for _ in 0..4 {
            assert_eq!(connected(&place).await, server.address());
        }
        assert_eq!(back.connections(), 0);
        tokio::time::advance(LAST).await;
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(place.connect(Duration::from_secs(5)).await.unwrap());
        }
        back.wait_for_open_connections(2).await;
    }
}
