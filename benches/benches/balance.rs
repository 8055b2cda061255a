//! What it costs to pick a server and to give its place back, among two, ten and a thousand; and what a change of state costs.

use std::hint::black_box;
use std::sync::Arc;

use copal_origin::{Balance, Call, Origin, OriginSettings, ServerAddress, ServerSettings};
use criterion::{Criterion, criterion_group, criterion_main};

const BALANCES: [(&str, Balance); 4] = [
    ("round-robin", Balance::RoundRobin),
    ("least-requests", Balance::LeastRequests),
    ("hash", Balance::Hash { bound: 125 }),
    ("first", Balance::First),
];

fn origin(servers: usize, balance: Balance, max_connections: usize) -> Arc<Origin> {
    let server = |index: usize| {
        let url = format!("http://10.0.{}.{}:80", index / 250, index % 250);
        let address: ServerAddress = url.parse().expect("a server's URL");
        ServerSettings { weight: 1 + index as u32 % 3, max_connections, ..address.into() }
    };
    let settings = OriginSettings { servers: (0..servers).map(server).collect(), balance, ..OriginSettings::default() };
    Origin::new(settings).expect("the settings above are right")
}

fn balance(criterion: &mut Criterion) {
    for (name, balance) in BALANCES {
        for servers in [2, 10, 1_000] {
            for (limits, max_connections) in [("", 0), ("-limited", 100)] {
                let origin = origin(servers, balance, max_connections);
                let mut hash = 0;
                criterion.bench_function(&format!("pick/{name}{limits}/{servers}"), |b| {
                    b.iter(|| {
                        hash += 1;
                        origin.candidate(black_box(&Call { hash: Some(hash), ..Call::default() }))
                    });
                });
            }
        }
    }
    for (name, balance) in BALANCES {
        let origin = origin(1_000, balance, 0);
        criterion.bench_function(&format!("change/{name}/1000"), |b| {
            b.iter(|| {
                assert!(origin.drain("10.0.0.0:80"));
                assert!(origin.resume("10.0.0.0:80"));
            });
        });
    }
}

criterion_group!(benches, balance);
criterion_main!(benches);
