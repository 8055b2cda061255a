//! The memory limit holds for pages of 10 KiB. A process of its own, so that nothing else is measured.

#![cfg(target_os = "linux")]

mod flood;

#[test]
fn a_flood_of_distinct_urls_with_10_kib_bodies_stays_within_the_limit() {
    flood::stays_within_the_limit(10 * 1024);
}
