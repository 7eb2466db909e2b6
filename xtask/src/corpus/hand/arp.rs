//! Inputs of `arp`: one for each rule of frames, ARP, IPv4 and UDP, and for what is legal though
//! few do it.

mod ip;
mod link;
mod requests;

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::gateway::{self, Record, Setup};

const OK: &str = "accept";

// Options of a gateway.
const PLAIN: u8 = 0;
const STRICT: u8 = 1;
const PROXY: u8 = 1 << 1;
const BROADCASTS: u8 = 1 << 2;
const DEFENDS: u8 = 1 << 3;
const NARROW: u8 = 1 << 4;
const SMALL_MTU: u8 = 1 << 5;
const FEW: u8 = 1 << 6;

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [requests::seeds(), link::seeds(), ip::seeds()].concat()
}

/// A seed of frames that come one after another.
fn seed(name: &str, expect: &str, shows: &str, options: u8, frames: &[Vec<u8>]) -> Seed {
    let records: Vec<_> = frames.iter().map(|frame| Record::new(frame)).collect();
    of_records(name, expect, shows, options, &records)
}

fn of_records(name: &str, expect: &str, shows: &str, options: u8, records: &[Record<'_>]) -> Seed {
    super::seed(name, expect, shows, gateway::encode(Setup(options), records))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vhost_fuzz_harness::gateway::Core;
    use vhost_fuzz_harness::oracle::gateway::{broken, judge};
    use vhost_fuzz_harness::target::arp::check;

    use super::*;

    #[test]
    fn every_seed_comes_out_as_it_says() {
        let seeds = seeds();
        assert!(seeds.len() >= 60, "{} seeds", seeds.len());
        let mut rules = BTreeSet::new();
        for seed in seeds {
            let outcome = check::<Core>(&seed.bytes);
            let got = outcome.broken.map_or(OK.to_owned(), |id| id.to_string());
            assert_eq!(got, seed.entry.expect, "{}", seed.name);
            assert_eq!(outcome.broken, broken(&judge(&seed.bytes)), "{}", seed.name);
            assert!(outcome.frames > 0, "{}", seed.name);
            rules.insert(got);
        }
        for rule in [
            "L2-001", "L2-002", "L2-003", "L2-004", "L2-006", "L2-007", "L2-008", "L2-009",
            "L2-010", "L2-012", "L2-013", "AR-001", "AR-010", "AR-011", "AR-017", "DC-105",
        ] {
            assert!(rules.contains(rule), "no seed breaks {rule}");
        }
    }
}
