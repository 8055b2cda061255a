//! `copal demo`: the sample site, Copal in front of it, and what to try.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use copal_policy::{Config, LogLevel};
use copal_proxy::Clock;

use super::run;
use crate::cli::Demo;
use crate::demo;
use crate::failure::Failure;
use crate::listener::BindError;
use crate::output;
use crate::server::{Server, Setup, StartError};
use crate::signals::{Order, Signals};
use crate::telemetry::logging::{self, Style};
use crate::telemetry::{AccessLog, Format, Sink};

/// Where the demo listens, unless it is told.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Ports that are tried when that one is taken; the admin address takes one of them too.
const LAST_PORT: u16 = 8090;

pub(crate) fn run(arguments: Demo) -> Result<(), Failure> {
    if arguments.print_config {
        return output::print(printed(&arguments).trim_end());
    }
    logging::init(LogLevel::Warn, Style::Text).map_err(Failure::failed)?;
    run::block_on(async {
        let mut signals = Signals::listen().map_err(Failure::failed)?;
        let (site, serving) = demo::start(load(demo::CONFIG)?.limits, Clock::system()).map_err(Failure::failed)?;
        tokio::spawn(serving);
        let server = start(&arguments, site)?;
        introduce(&server)?;
        loop {
            match signals.next().await {
                Order::Stop => break,
                Order::Reload | Order::Reopen => output::tell("the demo has no file to read anew"),
            }
        }
        run::stop(server, &mut signals).await;
        Ok(())
    })
}

/// The configuration as a file, with the addresses that were given.
fn printed(arguments: &Demo) -> String {
    let (listen, admin) = addresses(arguments);
    demo::SITE.parse().map_or_else(|_| demo::CONFIG.to_owned(), |site| demo::config(listen, admin, site))
}

/// Where to listen first. The admin address makes way for one that was given.
fn addresses(arguments: &Demo) -> (SocketAddr, SocketAddr) {
    let listen = arguments.listen.unwrap_or(LISTEN);
    let beside = LISTEN.port() + if listen.port() == LISTEN.port() + 1 { 2 } else { 1 };
    (listen, arguments.admin.unwrap_or(SocketAddr::new(LISTEN.ip(), beside)))
}

fn load(text: &str) -> Result<Config, Failure> {
    let loaded =
        copal_policy::load_str("demo.yaml", text, None).map_err(|diagnostics| output::refused(&diagnostics))?;
    Ok(loaded.config)
}

/// Starts the server. Addresses that were given are taken as they are; the others move on while they are taken.
fn start(arguments: &Demo, site: SocketAddr) -> Result<Server, Failure> {
    let (mut listen, mut admin) = addresses(arguments);
    loop {
        let format = Format::Demo { colour: logging::colours(&io::stdout()) };
        let setup = Setup {
            config: load(&demo::config(listen, admin, site))?,
            access_log: Some(AccessLog { format, sink: Sink::Stdout }),
            clock: Clock::system(),
            level: None,
        };
        let taken = match Server::start(setup) {
            Ok(server) => return Ok(server),
            Err(StartError::Bind(error)) if error.is_taken() => error,
            Err(error) => return Err(Failure::failed(error)),
        };
        let moves = if taken.address == admin { arguments.admin.is_none() } else { arguments.listen.is_none() };
        match moves.then(|| move_on(&taken, &mut listen, &mut admin)).flatten() {
            Some(next) => output::tell(format!("{} is taken; trying {next}", taken.address)),
            None => return Err(Failure::failed(taken)),
        }
    }
}

/// The next address in place of the one that is taken; none when there is none left.
fn move_on(taken: &BindError, listen: &mut SocketAddr, admin: &mut SocketAddr) -> Option<SocketAddr> {
    let (moving, other) = if taken.address == *admin { (admin, listen) } else { (listen, admin) };
    let mut next = moving.port().saturating_add(1);
    if next == other.port() {
        next = next.saturating_add(1);
    }
    moving.set_port(next);
    (next <= LAST_PORT).then_some(*moving)
}

fn introduce(server: &Server) -> Result<(), Failure> {
    let Some(&address) = server.addresses().first() else { return Ok(()) };
    let Some(admin) = server.admin_address() else { return Ok(()) };
    let mut stdout = io::stdout().lock();
    let text = guide(&program(), address, admin);
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|_| Failure::reported())
}

/// How the person called this program.
fn program() -> String {
    std::env::args().next().filter(|name| name.contains('/')).unwrap_or_else(|| "copal".to_owned())
}

fn guide(copal: &str, listen: SocketAddr, admin: SocketAddr) -> String {
    let usual = (listen, admin) == (LISTEN, SocketAddr::new(LISTEN.ip(), LISTEN.port() + 1));
    let moved = if usual { String::new() } else { format!("--listen {listen} --admin {admin} ") };
    let (site, admin) = (format!("http://{listen}"), format!("http://{admin}"));
    format!(
        "\
The Amber Post, a sample news site, with Copal in front of it:

    {site}/        open it in a browser, and watch the lines below

Or try this in another terminal:

 1  A page is fetched once, then comes from the cache. Cache-Status and Age say so.
      curl -i {site}/articles/resin
      curl -i {site}/articles/resin

 2  Log in. The greeting on the page is yours, the page around it is everybody's and still a hit.
      curl -s -c jar '{site}/login?name=ada'
      curl -s -b jar {site}/ | grep hello
      curl -s {site}/ | grep hello

 3  The slow page takes the site two seconds. Three visitors at a time: the site is asked once.
      for i in 1 2 3; do curl -s -o /dev/null -w '%{{time_total}} s\\n' {site}/slow & done; wait

 4  The newsroom is never stored.
      curl -s -i -b jar {site}/admin/ | grep -i cache-status

 5  Revise an article. Visitors see it as it was, until it is purged.
      curl -s -b jar -d article=resin {site}/admin/revise
      curl -s {site}/articles/resin | grep '<h1>'
      curl -X PURGE {site}/articles/resin
      curl -s {site}/articles/resin | grep '<h1>'
    The other ways to purge:
      {copal} purge {site}/articles/resin
      {copal} purge --admin {admin} --prefix /articles/

 6  Why is that so? Ask without a request:
      {copal} demo {moved}--print-config > demo.yaml
      {copal} explain --config demo.yaml {site}/ --cookie demo_session=ada

 7  What a monitor sees:
      curl -s {admin}/metrics | grep copal_requests_total

Stop with Ctrl-C. One line a request; times are UTC.

    time  outcome reason         status    duration  request
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(address: SocketAddr) -> BindError {
        BindError { address, source: io::ErrorKind::AddrInUse.into() }
    }

    fn local(port: u16) -> SocketAddr {
        SocketAddr::new(LISTEN.ip(), port)
    }

    #[test]
    fn a_taken_port_moves_on_past_the_other_and_comes_to_an_end() {
        let (mut listen, mut admin) = (local(8080), local(8081));
        assert_eq!(move_on(&taken(listen), &mut listen, &mut admin), Some(local(8082)));
        assert_eq!((listen.port(), admin.port()), (8082, 8081));
        assert_eq!(move_on(&taken(admin), &mut listen, &mut admin), Some(local(8083)));
        assert_eq!((listen.port(), admin.port()), (8082, 8083));
        assert_eq!(move_on(&taken(listen), &mut listen, &mut admin), Some(local(8084)));
        assert_eq!((listen.port(), admin.port()), (8084, 8083));
        let mut moves = 0;
        while move_on(&taken(listen), &mut listen, &mut admin).is_some() {
            moves += 1;
        }
        assert_eq!((moves, listen.port()), (6, 8091));
    }

    #[test]
    fn the_guide_names_the_real_addresses() {
        let text = guide("./copal", local(8082), local(8083));
        assert!(text.contains("curl -X PURGE http://127.0.0.1:8082/articles/resin"));
        assert!(text.contains("./copal purge --admin http://127.0.0.1:8083 --prefix /articles/"));
        assert!(text.contains("%{time_total} s\\n"), "{text}");
        assert!(
            text.contains("demo --listen 127.0.0.1:8082 --admin 127.0.0.1:8083 --print-config > demo.yaml"),
            "{text}"
        );
        assert!(text.contains("--config demo.yaml http://127.0.0.1:8082/ ") && !text.contains("8080"), "{text}");
        let usual = guide("copal", LISTEN, local(8081));
        assert!(usual.contains("copal demo --print-config > demo.yaml"), "{usual}");
    }

    #[test]
    fn the_printed_configuration_has_the_given_addresses() {
        let asked = |listen, admin| Demo { listen, admin, print_config: true };
        assert_eq!(printed(&asked(None, None)), demo::CONFIG);
        for (listen, admin, expected) in [
            (Some(local(3000)), None, (local(3000), local(8081))),
            (Some(local(8081)), None, (local(8081), local(8082))),
            (None, Some(local(3001)), (LISTEN, local(3001))),
        ] {
            let config = load(&printed(&asked(listen, admin))).unwrap();
            assert_eq!((config.listen.as_slice(), config.admin), (&[expected.0][..], Some(expected.1)));
        }
    }
}
