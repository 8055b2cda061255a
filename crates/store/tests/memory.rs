//! The memory limit holds for small pages. A process of its own, so that nothing else is measured.

#![cfg(target_os = "linux")]

mod flood;

#[test]
fn a_flood_of_distinct_urls_with_1_kib_bodies_stays_within_the_limit() {
    flood::stays_within_the_limit(1024);
}
