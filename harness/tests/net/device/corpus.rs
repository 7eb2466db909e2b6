//! The committed inputs.

use vhost_fuzz_core::net::device::Device;
use vhost_fuzz_harness::corpus::seeds;
use vhost_fuzz_harness::target::net_device::{check, judge};

#[test]
fn every_seed_comes_out_as_its_manifest_says() {
    for seed in seeds("net_device").expect("a corpus") {
        let outcome = check::<Device>(&seed.bytes);
        assert_eq!(outcome, judge(&seed.bytes), "{}", seed.name);
        let verdict = outcome.broken.first().map_or("accept".to_owned(), ToString::to_string);
        assert_eq!(verdict, seed.entry.expect, "{}", seed.name);
    }
}

#[test]
fn most_seeds_end_in_an_answer() {
    let seeds = seeds("net_device").expect("a corpus");
    let answered = seeds.iter().filter(|seed| !judge(&seed.bytes).replies.is_empty()).count();
    assert!(2 * answered > seeds.len(), "{answered} of {}", seeds.len());
}
