//! Parsing a page for ESI, as it is done once while the page is stored (100 KiB of HTML in chunks of 16 KiB), and the
//! order of assembly, as it is done for each view.

use std::hint::black_box;

use bytes::Bytes;
use copal_esi::{Limits, Next, Parser, Piece, Plan};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PAGE: usize = 100 * 1024;
const CHUNK: usize = 16 * 1024;

/// HTML with tags as dense as a list of teasers has them, with an include at each of `includes` places.
fn page(includes: usize) -> Vec<Bytes> {
    const TEASER: &str = "<li class=\"teaser\"><a href=\"/articles/2024/a-designer-resigns\"><h3>A designer resigns</h3>\
        <p>The president of the society <em>says</em> it is besides the point.</p></a></li>\n";
    let (mut html, mut placed) = (String::with_capacity(PAGE + 1024), 0);
    while html.len() < PAGE {
        if placed < includes && html.len() >= placed * PAGE / includes {
            html.push_str("<esi:include src=\"/fragments/user?page=1&amp;part=2\" onerror=\"continue\"/>\n");
            placed += 1;
        }
        html.push_str(TEASER);
    }
    html.as_bytes().chunks(CHUNK).map(Bytes::copy_from_slice).collect()
}

fn parse(chunks: &[Bytes]) -> Vec<Piece> {
    let (mut parser, mut pieces) = (Parser::new(Limits::default()), Vec::new());
    for chunk in chunks {
        parser.push(chunk.clone(), &mut pieces);
    }
    parser.finish(&mut pieces);
    pieces
}

fn esi_scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("esi_scan");
    for (name, includes) in [("no_esi", 0), ("five_includes", 5)] {
        let chunks = page(includes);
        group.throughput(Throughput::Bytes(chunks.iter().map(|chunk| chunk.len() as u64).sum()));
        group.bench_function(name, |bencher| bencher.iter(|| parse(black_box(&chunks))));
    }
    group.finish();
}

/// The order of a page whose fragments are all at hand: what a hit costs beyond its bytes.
fn assembly(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("assembly");
    for includes in [5, 50] {
        let pieces = parse(&page(includes));
        group.bench_function(format!("{includes}_fragments_at_hand"), |bencher| {
            bencher.iter(|| {
                let mut plan = Plan::new(32, 256);
                for piece in black_box(&pieces) {
                    plan.add(piece.clone());
                }
                plan.end();
                let mut put_out = 0;
                loop {
                    while let Some((id, _)) = plan.start_next() {
                        plan.finished(id);
                    }
                    match plan.next() {
                        Next::Text(text) => put_out += text.len(),
                        Next::Fragment(id) => plan.done(id),
                        Next::Wait | Next::End => break put_out,
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, esi_scan, assembly);
criterion_main!(benches);
